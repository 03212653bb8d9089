"""`manta load`, `manta predict` and `manta status`: commands that call the HTTP API."""

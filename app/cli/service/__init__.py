"""Commands that call the HTTP API: load, predict, status."""

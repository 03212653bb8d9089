"""The `manta` command."""

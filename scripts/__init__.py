"""Programs that the Makefile runs beside the `manta` command."""

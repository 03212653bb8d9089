"""Programs that the Makefile runs and that are not part of the `manta` command."""

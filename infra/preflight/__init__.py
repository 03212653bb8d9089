"""Checks of the cluster before the program registers anything: what only the cluster knows."""

"""Locations of the prediction log, for `--data`. The command line imports this module: it needs no large library."""

from typing import Final

LOG_PREFIX: Final = "log:"
"""Beginning of a location such as `log:30d`."""

DEFAULT_TARGET: Final = "label"
"""Name of the column with the labels, unless `--target` names it."""


def is_log(location: str) -> bool:
    """Whether the value of `--data` names the prediction log."""
    return location.startswith(LOG_PREFIX)

"""Periods of the prediction log, such as `7d`."""

import re
from datetime import timedelta
from typing import Final

from app.errors import ParameterError

PERIOD: Final = re.compile(r"([1-9][0-9]{0,4})([mhd])")
UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}

MAX_DAYS: Final = 366
"""Longest period, in days."""


def parse_period(text: str, *, example: str) -> timedelta:
    """Parse a period such as `7d`, `12h` or `30m`.

    Args:
        text: The period.
        example: A valid argument of the command line, for the error message.

    Raises:
        ParameterError: The text is no period, or the period is longer than `MAX_DAYS`.
    """
    match = PERIOD.fullmatch(text)
    period = timedelta(**{UNITS[match[2]]: int(match[1])}) if match else None
    if period is None or period > timedelta(days=MAX_DAYS):
        raise ParameterError(
            f"The period {text!r} cannot be used.",
            allowed=f"a number of minutes, hours or days up to {MAX_DAYS}d",
            next_step=f"For example: {example}",
        )
    return period

"""Checks a cron schedule before `pulumi up` changes anything: five fields, or a macro such as `@daily`.

The rules are those of `ParseStandard` of robfig/cron, which the CronJob controller calls. Unlike other crons it has no
day of the week 7. The CronJob has a separate field for the time zone.
"""

import re
from dataclasses import dataclass
from typing import Final

MACROS: Final = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
"""Names that replace the five fields."""

ENTRY: Final = re.compile(r"(?P<first>[*?]|\w+)(-(?P<last>\w+))?(/(?P<step>\d+))?")
"""One entry of the comma-separated list in a field."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One of the five fields of a schedule."""

    name: str
    minimum: int
    maximum: int
    names: str = ""
    """Names of the values in ascending order, separated by spaces. Empty: the field has numbers only."""

    def number(self, text: str) -> int:
        """Convert a number or a name to the field's value.

        Raises:
            ValueError: The text is neither, or the value is out of range.
        """
        names = self.names.split()
        if text.lower() in names:
            return names.index(text.lower()) + self.minimum
        value = int(text) if text.isdigit() else -1
        if not self.minimum <= value <= self.maximum:
            allowed = f"{self.minimum} to {self.maximum}" + (f" or {self.names}" if names else "")
            raise ValueError(f"the {self.name} {text!r} is not allowed; allowed is {allowed}")
        return value


FIELDS: Final = (
    Field(name="minute", minimum=0, maximum=59),
    Field(name="hour", minimum=0, maximum=23),
    Field(name="day of the month", minimum=1, maximum=31),
    Field(name="month", minimum=1, maximum=12, names="jan feb mar apr may jun jul aug sep oct nov dec"),
    Field(name="day of the week", minimum=0, maximum=6, names="sun mon tue wed thu fri sat"),
)


def check(schedule: str) -> str:
    """Return the schedule unchanged if Kubernetes accepts it.

    Args:
        schedule: Five fields or a macro. Empty: no schedule.

    Raises:
        ValueError: Kubernetes would refuse the schedule. The message names the field.
    """
    if not schedule or schedule in MACROS:
        return schedule
    parts = schedule.split()
    if len(parts) != len(FIELDS):
        names = ", ".join(field.name for field in FIELDS)
        raise ValueError(f"a schedule has five fields ({names}) or is one of {', '.join(sorted(MACROS))}")
    for field, text in zip(FIELDS, parts, strict=True):
        for entry in text.split(","):
            _check_entry(field, entry)
    return schedule


def _check_entry(field: Field, entry: str) -> None:
    match = ENTRY.fullmatch(entry)
    if match is None or (match["first"] in "*?" and match["last"]):
        raise ValueError(f"the {field.name} {entry!r} does not have the form *, 5, 1-5, */5 or a list of these")
    if match["step"] is not None and int(match["step"]) == 0:
        raise ValueError(f"the {field.name} {entry!r} has a step of 0")
    if match["first"] not in "*?":
        first = field.number(match["first"])
        if match["last"] and field.number(match["last"]) < first:
            raise ValueError(f"the {field.name} {entry!r} ends before it begins")

"""Cron schedules as Kubernetes reads them: five fields, or a word such as `@daily`.

The rules are those of robfig/cron's `ParseStandard`, which the CronJob controller calls. Unlike many crons it knows
no day of the week 7, and Kubernetes takes the time zone from a field of its own.
"""

import re
from dataclasses import dataclass
from typing import Final

WORDS: Final = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
"""What may stand in place of the five fields."""

PART: Final = re.compile(r"(?P<first>[*?]|\w+)(-(?P<last>\w+))?(/(?P<step>\d+))?")
"""One entry of a field's list."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One of the five fields."""

    name: str
    least: int
    most: int
    names: str = ""
    """What may stand for the numbers, in their order, separated by spaces."""

    def number(self, text: str) -> int:
        """Value of a number or name.

        Raises:
            ValueError: It is neither, or out of range.
        """
        names = self.names.split()
        value = names.index(text.lower()) + self.least if text.lower() in names else int(text) if text.isdigit() else -1
        if not self.least <= value <= self.most:
            allowed = f"{self.least} to {self.most}" + (f" or {self.names}" if names else "")
            raise ValueError(f"the {self.name} {text!r} is not allowed: it is {allowed}")
        return value


FIELDS: Final = (
    Field(name="minute", least=0, most=59),
    Field(name="hour", least=0, most=23),
    Field(name="day of the month", least=1, most=31),
    Field(name="month", least=1, most=12, names="jan feb mar apr may jun jul aug sep oct nov dec"),
    Field(name="day of the week", least=0, most=6, names="sun mon tue wed thu fri sat"),
)


def checked(schedule: str) -> str:
    """Give a schedule back if Kubernetes would take it.

    Args:
        schedule: Five fields or a word; empty means none.

    Raises:
        ValueError: The message names the field at fault.
    """
    if not schedule or schedule in WORDS:
        return schedule
    parts = schedule.split()
    if len(parts) != len(FIELDS):
        names = ", ".join(field.name for field in FIELDS)
        raise ValueError(f"a schedule has five fields ({names}) or is one of {', '.join(sorted(WORDS))}")
    for field, text in zip(FIELDS, parts, strict=True):
        for entry in text.split(","):
            _check(field, entry)
    return schedule


def _check(field: Field, entry: str) -> None:
    found = PART.fullmatch(entry)
    if found is None or (found["first"] in "*?" and found["last"]):
        raise ValueError(f"the {field.name} {entry!r} is not of the form *, 5, 1-5, */5 or a list of these")
    if found["step"] is not None and int(found["step"]) == 0:
        raise ValueError(f"the {field.name} {entry!r} has a step of 0")
    if found["first"] not in "*?":
        first = field.number(found["first"])
        if found["last"] and field.number(found["last"]) < first:
            raise ValueError(f"the {field.name} {entry!r} ends before it begins")

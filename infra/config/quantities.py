"""Kubernetes quantities such as `500m` or `2Gi`: their value, their canonical form, and a share of an amount."""

import re
from decimal import ROUND_CEILING, Decimal
from typing import Final

PATTERN: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
SUFFIXES: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}
"""Factor of each suffix: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>."""
DECIMAL: Final = {unit: SUFFIXES[unit] for unit in ("E", "P", "T", "G", "M", "k", "", "m", "u", "n")}
BINARY: Final = {unit: SUFFIXES[unit] for unit in ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki", "")}
"""The suffixes of the canonical forms, from the largest to the smallest."""
LIMIT: Final = Decimal(2) ** 63 - 1
"""Largest value. The API server reduces larger values to this one without an error."""
KIBIBYTE: Final = 1024
MEBIBYTE: Final = 1024**2
WHOLE: Final = Decimal(1)


def value(quantity: str) -> Decimal:
    """Convert a quantity to cores or bytes.

    Raises:
        ValueError: The text is not a quantity, or the value is above `LIMIT`.
    """
    match = PATTERN.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is not a Kubernetes quantity; allowed are values such as 500m, 2 or 1.5Gi")
    number = Decimal(match[1]) * SUFFIXES[match[2] or ""]
    if number > LIMIT:
        raise ValueError(f"{quantity!r} is larger than the largest Kubernetes quantity, {LIMIT}")
    return number


def canonical(quantity: str) -> str:
    """Convert a quantity to its canonical form: a whole number with the largest possible suffix.

    KubeRay writes the quantities of a RayService back in this form. Any other form would show up as a change in the
    next update.

    Raises:
        ValueError: The text is not a quantity, or the value is above `LIMIT`.
    """
    number = value(quantity)
    is_binary = quantity.endswith("i") and number >= KIBIBYTE and number % 1 == 0
    return _formatted(number, BINARY if is_binary else DECIMAL)


def cpu_share(quantity: str, share: Decimal) -> str:
    """A share of an amount of CPU, rounded up to whole millicores, at least one."""
    return _formatted(_ceiling(value(quantity) * share * 1000) * SUFFIXES["m"], DECIMAL)


def memory_share(quantity: str, share: Decimal) -> str:
    """A share of an amount of memory, rounded up to whole mebibytes, at least one."""
    return _formatted(Decimal(_ceiling(value(quantity) * share / MEBIBYTE) * MEBIBYTE), BINARY)


def _formatted(number: Decimal, suffixes: dict[str, Decimal]) -> str:
    """Write the number with the largest suffix that keeps it whole, else round it up to the smallest suffix."""
    for suffix, factor in suffixes.items():
        if number % factor == 0:
            return f"{number // factor}{suffix}"
    return _formatted(_ceiling(number / factor) * factor, suffixes)


def _ceiling(number: Decimal) -> int:
    return max(1, int(number.to_integral_value(rounding=ROUND_CEILING)))

"""Kubernetes quantities: what the API server accepts, how it spells it, how large it is, and a share of it."""

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
"""The suffixes that Kubernetes writes, from the largest down."""
LIMIT: Final = Decimal(2) ** 63 - 1
"""Largest value: the API server caps what is above, silently."""
KIBIBYTE: Final = 1024
MEBIBYTE: Final = 1024**2
WHOLE: Final = Decimal(1)


def value(quantity: str) -> Decimal:
    """Number that a quantity stands for, in cores or bytes.

    Raises:
        ValueError: The text is no quantity, or one beyond what Kubernetes can hold.
    """
    match = PATTERN.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is no Kubernetes quantity; allowed are numbers such as 500m, 2 or 1.5Gi")
    number = Decimal(match[1]) * SUFFIXES[match[2] or ""]
    if number > LIMIT:
        raise ValueError(f"{quantity!r} is larger than Kubernetes can hold")
    return number


def canonical(quantity: str) -> str:
    """Spell a quantity as Kubernetes writes it back: whole, with the largest suffix that keeps it so.

    KubeRay rewrites a RayService in this form; given in any other, the next update would find a change.

    Raises:
        ValueError: The text is no quantity, or one beyond what Kubernetes can hold.
    """
    number = value(quantity)
    is_binary = quantity.endswith("i") and number >= KIBIBYTE and number % 1 == 0
    return _spelled(number, BINARY if is_binary else DECIMAL)


def cpu_share(quantity: str, share: Decimal) -> str:
    """Share of an amount of CPU, in whole thousandths of a core and never none."""
    return _spelled(_ceiling(value(quantity) * share * 1000) * SUFFIXES["m"], DECIMAL)


def memory_share(quantity: str, share: Decimal) -> str:
    """Share of an amount of memory, in whole mebibytes and never none."""
    return _spelled(Decimal(_ceiling(value(quantity) * share / MEBIBYTE) * MEBIBYTE), BINARY)


def _spelled(number: Decimal, suffixes: dict[str, Decimal]) -> str:
    """The number with the first suffix, from the largest down, that leaves it whole; the smallest rounds it up."""
    for suffix, factor in suffixes.items():
        if number % factor == 0:
            return f"{number // factor}{suffix}"
    return _spelled(_ceiling(number / factor) * factor, suffixes)


def _ceiling(number: Decimal) -> int:
    return max(1, int(number.to_integral_value(rounding=ROUND_CEILING)))

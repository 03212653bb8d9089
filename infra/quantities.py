"""Kubernetes quantities: what the API server accepts, how large it is, and a share of it."""

import re
from decimal import ROUND_CEILING, Decimal
from typing import Final

PATTERN: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
SUFFIXES: Final = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)},
}
"""Factor of each suffix: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>."""
LIMIT: Final = Decimal(2) ** 63 - 1
"""Largest value: the API server caps what is above, silently."""
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


def cpu_share(quantity: str, share: Decimal) -> str:
    """Share of an amount of CPU, in whole thousandths of a core and never none."""
    return f"{_ceiling(value(quantity) * share * 1000)}m"


def memory_share(quantity: str, share: Decimal) -> str:
    """Share of an amount of memory, in whole mebibytes and never none."""
    return f"{_ceiling(value(quantity) * share / MEBIBYTE)}Mi"


def _ceiling(number: Decimal) -> int:
    return max(1, int(number.to_integral_value(rounding=ROUND_CEILING)))

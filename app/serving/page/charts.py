"""The charts of the last hour, as paths for SVG. `app.serving.page.history_table` has the same figures as a table."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from app.serving.measures.history import SLOT_S, SLOTS
from app.serving.measures.messages import MeasuresHistory, VersionHistory

MAX_SERIES: Final = 6
"""Maximum number of versions that the charts show: those with most requests. The table shows all versions."""

MIN_SECONDS: Final = 5.0
"""Least age of the last slot at which the charts show it: the rate of a shorter time says little."""

WINDOWS: Final = (20, 40, SLOTS)
"""Numbers of slots that a chart can show. It shows the smallest that holds all requests of the last hour."""

HEIGHT: Final = 100.0
"""Height of a chart in its own units. Its width is the number of slots less one."""

WHOLE: Final = 100
"""Smallest value that is shown without a fraction."""

TOPS: Final = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
"""Labels at the top of a chart, for values of 1 to 10; times a power of ten for other values."""

QUANTILES: Final = ("p50", "p95", "p99")

Values = Sequence[float | None]
"""A value for each slot; None for a gap."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart."""

    path: str
    area: str
    """The area below the line; empty for none."""
    series: int
    """Number of the color, below `MAX_SERIES`; see `page.css`."""
    style: str
    """`p50`, `p95` or `p99`; empty in a chart with one line for each version."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """An entry of the legend."""

    label: str
    role: str
    series: int


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart."""

    id: str
    title: str
    unit: str
    now: str
    """The last value, over all versions: the sum of the rates, or the highest p95."""
    top: str
    middle: str
    """Labels of the vertical axis."""
    top_value: float
    slots: int
    """Slots that the chart shows: the last ones of the hour."""
    lines: list[Line]
    keys: list[Key]
    description: str
    """What the chart shows, in a sentence."""

    @property
    def minutes(self) -> int:
        """Minutes that the chart shows."""
        return self.slots * SLOT_S // 60


def build(history: MeasuresHistory) -> list[Chart]:
    """Build the charts; none if there was no request in the last hour."""
    if history.begin is None:
        return []
    versions = sorted(history.history, key=lambda version: -sum(version.requests) - sum(version.errors))[:MAX_SERIES]
    seconds = (history.timestamp - history.begin).total_seconds() - (SLOTS - 1) * SLOT_S
    keys = _keys(versions)
    latencies = [
        (key.series, quantile, _finished(getattr(version, f"{quantile}_ms"), seconds))
        for key, version in zip(keys, versions, strict=True)
        for quantile in QUANTILES
    ]
    return [
        _rate_chart("requests", "Requests", [_rates(version, version.requests, seconds) for version in versions], keys),
        _rate_chart("errors", "Failed", [_rates(version, version.errors, seconds) for version in versions], keys),
        _chart(
            "latency",
            "Latency",
            "ms",
            latencies,
            keys,
            now=_latest([values for _, quantile, values in latencies if quantile == "p95"], max),
            has_area=False,
        ),
    ]


def number(value: float) -> str:
    """Format a value with two digits below 1, with three digits up to `WHOLE`, and as a whole number above."""
    return f"{value:,.0f}" if value >= WHOLE else f"{value:.{3 if value >= 1 else 2}g}"


def _rate_chart(id_: str, title: str, rates: list[Values], keys: list[Key]) -> Chart:
    lines = [(key.series, "", values) for key, values in zip(keys, rates, strict=True)]
    return _chart(id_, title, "a second", lines, keys, now=_latest(rates, sum), has_area=True)


def _chart(
    id_: str,
    title: str,
    unit: str,
    lines: list[tuple[int, str, Values]],
    keys: list[Key],
    *,
    now: float | None,
    has_area: bool,
) -> Chart:
    highest = max((value for _, _, values in lines for value in values if value is not None), default=0.0)
    slots = max(_window(values) for _, _, values in lines)
    top = _round_up(highest)
    return Chart(
        id=id_,
        title=title,
        unit=unit,
        now="-" if now is None else number(now),
        top=number(top),
        middle=number(top / 2),
        top_value=top,
        slots=slots,
        lines=[
            Line(
                path=_path(values[-slots:], top),
                area=_area(values[-slots:], top) if has_area else "",
                series=series,
                style=style,
            )
            for series, style, values in lines
        ],
        keys=keys,
        description=(
            f"{title} {unit} by version over the last {slots * SLOT_S // 60} minutes. "
            f"Highest value: {number(highest)}. Now: {'no value' if now is None else number(now)}."
        ),
    )


def _keys(versions: Sequence[VersionHistory]) -> list[Key]:
    """Give each version a series, by its number: a version keeps its color while other versions come and go.

    If two versions have the same series by their numbers, the second version gets the next series that is free.
    """
    by_series: dict[int, VersionHistory] = {}
    for version in versions:
        series = int(version.version) if version.version.isdigit() else MAX_SERIES - 1
        while series % MAX_SERIES in by_series:
            series += 1
        by_series[series % MAX_SERIES] = version
    return [Key(label=version.version, role=version.role, series=series) for series, version in by_series.items()]


def _rates(version: VersionHistory, counts: Sequence[int], seconds: float) -> Values:
    """Divide counts by the length of their slots, from the first request of the version to the slot after the last."""
    lengths = [float(SLOT_S)] * (SLOTS - 1) + [min(seconds, SLOT_S)]
    active = [index for index in range(SLOTS) if version.requests[index] or version.errors[index]]
    rates: list[float | None] = [None] * SLOTS
    for index in range(min(active, default=SLOTS), min(max(active, default=0) + 2, SLOTS)):
        rates[index] = counts[index] / max(lengths[index], 1.0)
    return _finished(rates, seconds)


def _window(values: Values) -> int:
    """Return how many slots hold all values."""
    age = next((SLOTS - index for index, value in enumerate(values) if value is not None), 0)
    return next(slots for slots in WINDOWS if slots >= age)


def _finished(values: Values, seconds: float) -> Values:
    """Leave out the last slot if it has only begun."""
    return values if seconds >= MIN_SECONDS else [*values[:-1], None]


def _latest(series: list[Values], combine: Callable[[list[float]], float]) -> float | None:
    """Combine the values of all series in the last slot; without a value there, those in the slot before."""
    for slot in (-1, -2):
        values = [value for values in series if (value := values[slot]) is not None]
        if values:
            return combine(values)
    return None


def _round_up(value: float) -> float:
    """Return the smallest of `TOPS` times a power of ten that is not below a value; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in TOPS if factor * power >= value * (1 - 1e-9))


def _runs(values: Values) -> Iterator[list[tuple[int, float]]]:
    """Split values at their gaps."""
    for is_gap, run in groupby(enumerate(values), key=lambda item: item[1] is None):
        if not is_gap:
            yield [(index, value) for index, value in run if value is not None]


def _path(values: Values, top: float) -> str:
    """Draw a line through values. A value alone is a dot."""
    return "".join(
        "M" + "L".join(_point(index, value, top) for index, value in run) + ("h0" if len(run) == 1 else "")
        for run in _runs(values)
    )


def _area(values: Values, top: float) -> str:
    """Draw the area below a line."""
    return "".join(
        f"M{run[0][0]} {HEIGHT:g}L" + "L".join(_point(index, value, top) for index, value in run) + f"V{HEIGHT:g}Z"
        for run in _runs(values)
        if len(run) > 1
    )


def _point(index: int, value: float, top: float) -> str:
    return f"{index} {HEIGHT * (1 - value / top):.4g}"

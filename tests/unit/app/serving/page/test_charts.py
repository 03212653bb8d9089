"""The charts of the page."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from app.serving.measures.history import SLOT_S, SLOTS
from app.serving.measures.messages import MeasuresHistory, VersionHistory
from app.serving.page import charts

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def version(number: str = "1", *, last: list[int], errors: int = 0, p95: float | None = 2.0) -> VersionHistory:
    """A version whose last slots have some requests."""
    requests = [0] * (SLOTS - len(last)) + last
    latencies = [p95 if count else None for count in requests]
    return VersionHistory(
        version=number,
        role="champion",
        requests=requests,
        client_errors=[0] * SLOTS,
        errors=[0] * (SLOTS - 1) + [errors],
        p50_ms=latencies,
        p95_ms=latencies,
        p99_ms=latencies,
    )


def history(*versions: VersionHistory, seconds: float = SLOT_S) -> MeasuresHistory:
    """A history whose last slot has lasted for some seconds."""
    return MeasuresHistory(
        name="m",
        begin=BEGIN if versions else None,
        slot_seconds=SLOT_S,
        history=list(versions),
        replicas=1,
        timestamp=BEGIN + timedelta(seconds=(SLOTS - 1) * SLOT_S + seconds),
    )


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(\d+) ([\d.]+)", path)]


def test_without_requests_there_is_no_chart() -> None:
    assert charts.build(history()) == []


def test_a_line_begins_with_the_first_request_and_stays_in_its_chart() -> None:
    requests, errors, _ = charts.build(history(version(last=[300, 0, 600])))

    [line] = requests.lines
    assert points(line.path) == [(17, 50), (18, 100), (19, 0)]
    assert (requests.top, requests.middle, requests.now) == ("20", "10", "20")
    assert points(errors.lines[0].path) == [(17, 100), (18, 100), (19, 100)]
    assert line.area.startswith("M17 100L17 50L")
    assert line.area.endswith("V100Z")
    assert errors.now == "0"


def test_the_last_slot_counts_by_the_time_that_has_passed() -> None:
    requests, *_ = charts.build(history(version(last=[300, 100]), seconds=10))

    assert requests.now == "10"


def test_a_slot_that_has_only_begun_is_not_shown() -> None:
    requests, *_ = charts.build(history(version(last=[300, 7]), seconds=1))

    assert points(requests.lines[0].path) == [(18, 0)]
    assert requests.lines[0].path.endswith("h0")
    assert requests.now == "10"


def test_latencies_have_gaps_where_nothing_was_asked() -> None:
    *_, latency = charts.build(history(version(last=[1, 0, 1, 1])))

    assert [line.style for line in latency.lines] == ["p50", "p95", "p99"]
    assert latency.lines[0].path.count("M") == 2
    assert latency.now == "2"


def test_the_charts_show_the_versions_with_most_requests() -> None:
    versions = [version(str(number), last=[number]) for number in range(1, 9)]

    requests, *_ = charts.build(history(*versions))

    assert [key.label for key in requests.keys] == ["8", "7", "6", "5", "4", "3"]
    assert len(requests.lines) == charts.MAX_SERIES


def test_a_version_keeps_its_color_while_others_come_and_go() -> None:
    alone, *_ = charts.build(history(version("4", last=[1])))
    among, *_ = charts.build(history(version("3", last=[9]), version("4", last=[1]), version("8", last=[5])))

    assert [(key.label, key.series) for key in alone.keys] == [("4", 4)]
    assert [(key.label, key.series) for key in among.keys] == [("3", 3), ("8", 2), ("4", 4)]


def test_two_versions_have_two_colors() -> None:
    requests, *_ = charts.build(history(version("9", last=[9]), version("3", last=[1])))

    assert [(key.label, key.series) for key in requests.keys] == [("9", 3), ("3", 4)]


def test_a_version_that_is_not_asked_any_more_ends_at_zero() -> None:
    requests, *_ = charts.build(history(version(last=[300, 0, 0, 0])))

    assert points(requests.lines[0].path) == [(16, 0), (17, 100)]


def test_a_chart_says_in_words_what_it_shows() -> None:
    _, errors, _ = charts.build(history(version(last=[300], errors=30)))

    assert errors.description == "Failed a second by version over the last 10 minutes. Highest value: 1. Now: 1."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0912, "0.091"),
        (1.234, "1.23"),
        (99.96, "100"),
        (123.4, "123"),
        (999.7, "1,000"),
        (12_345, "12,345"),
    ],
)
def test_a_number_has_no_exponent(value: float, text: str) -> None:
    assert charts.number(value) == text


@pytest.mark.parametrize(("slots", "shown"), [(1, 20), (20, 20), (21, 40), (41, 120), (120, 120)])
def test_the_charts_show_no_more_time_than_there_was_traffic(slots: int, shown: int) -> None:
    drawn = charts.build(history(version(last=[1] * slots)))

    assert [chart.slots for chart in drawn] == [shown] * 3
    assert points(drawn[0].lines[0].path)[-1][0] == shown - 1

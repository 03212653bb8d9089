"""The charts of the page."""

import re
from datetime import UTC, datetime, timedelta

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
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)]


def test_without_requests_there_is_no_chart() -> None:
    assert charts.build(history()) == []


def test_a_line_begins_with_the_first_request_and_stays_in_its_chart() -> None:
    requests, errors, _ = charts.build(history(version(last=[300, 0, 600])))

    [line] = requests.lines
    assert points(line.path) == [(117, 50), (118, 100), (119, 0)]
    assert (requests.top, requests.middle, requests.now) == ("20", "10", "20")
    assert line.area.startswith("M117 100L117 50L")
    assert line.area.endswith("V100Z")
    assert errors.now == "0"


def test_the_last_slot_counts_by_the_time_that_has_passed() -> None:
    requests, *_ = charts.build(history(version(last=[300, 100]), seconds=10))

    assert requests.now == "10"


def test_a_slot_that_has_only_begun_is_not_shown() -> None:
    requests, *_ = charts.build(history(version(last=[300, 7]), seconds=1))

    assert points(requests.lines[0].path) == [(118, 0)]
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


def test_a_chart_says_in_words_what_it_shows() -> None:
    _, errors, _ = charts.build(history(version(last=[300], errors=30)))

    assert errors.description == "Failed a second by version over the last hour. Highest value: 1. Now: 1."


def test_the_table_has_a_row_for_each_time_in_which_a_version_did_something() -> None:
    joined = MeasuresHistory(
        name="m",
        begin=BEGIN,
        slot_seconds=600,
        history=[
            VersionHistory(
                version="1",
                role="champion",
                requests=[0, 0, 0, 5, 0, 7],
                client_errors=[0] * 6,
                errors=[0] * 6,
                p50_ms=[None] * 6,
                p95_ms=[None] * 6,
                p99_ms=[None] * 6,
            )
        ],
        replicas=1,
        timestamp=BEGIN,
    )

    assert [(row.minutes, row.requests) for row in charts.rows(joined)] == [
        ("10 to 0 min ago", 7),
        ("30 to 20 min ago", 5),
    ]

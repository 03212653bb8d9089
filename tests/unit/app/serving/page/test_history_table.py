"""The table of the last hour on the page."""

from datetime import UTC, datetime

from app.serving.measures.messages import MeasuresHistory, VersionHistory
from app.serving.page import history_table


def test_the_table_has_a_row_for_each_time_in_which_a_version_did_something() -> None:
    joined = MeasuresHistory(
        name="m",
        begin=datetime(2026, 1, 1, tzinfo=UTC),
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
        timestamp=datetime(2026, 1, 1, 1, tzinfo=UTC),
    )

    assert [(row.minutes, row.requests) for row in history_table.build(joined)] == [
        ("10 to 0 min ago", 7),
        ("30 to 20 min ago", 5),
    ]

"""The filters of the page's templates."""

import pytest

from app.serving.page.view import FILTERS


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("latency", None, "-"),
        ("latency", 0.0912, "0.091 ms"),
        ("latency", 152.2, "152 ms"),
        ("evidence", 0.5, "0.5"),
        ("evidence", 152.2, "152"),
        ("evidence", 5e6, "over 1,000"),
        ("share", 1.0, "100 %"),
        ("share", 0.99999, "99.9 %"),
        ("share", 0.5, "50 %"),
        ("span", 59.9, "59 s"),
        ("span", 60, "1 min"),
        ("span", 3_725, "1 h 2 min"),
    ],
)
def test_a_filter_formats_a_value(name: str, value: float | None, text: str) -> None:
    assert FILTERS[name](value) == text

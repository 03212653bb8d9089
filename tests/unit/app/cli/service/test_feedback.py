from pathlib import Path

import pandas as pd
import pytest

from app.cli.service.feedback import read_labels
from app.errors import DataError


def test_labels_are_read_with_their_types(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("label,request_id\n1,007\n2,b\n")

    assert read_labels(file) == [
        {"request_id": "007", "row": 0, "label": 1},
        {"request_id": "b", "row": 0, "label": 2},
    ]


def test_labels_of_a_type_that_json_lacks_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "labels.parquet"
    pd.DataFrame({"request_id": ["a"], "label": pd.to_datetime(["2026-11-29"])}).to_parquet(file)

    with pytest.raises(DataError, match=r"Row 0 of .* has a label of the type Timestamp\."):
        read_labels(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("request_id,row\na,0\n", "lacks the column 'label'"),
        ("request_id,row,label\n", "has no rows"),
        ("request_id,row,label\na,0,1\nb,0,\n", "Row 1 of .* has no value"),
        ("request_id,row,label\na,0.5,1\n", "no whole numbers"),
        ("", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_before_anything_is_sent(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text)

    with pytest.raises(DataError, match=message):
        read_labels(file)

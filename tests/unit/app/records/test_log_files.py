from dataclasses import replace

import pytest

from app.records.log_files import LogFile

FILE = LogFile(kind="predictions", model="a b%c~d", version="7", time_ms=1_795_900_000_000, rows=12, writer="m#a-b")


def test_a_path_says_what_its_file_holds() -> None:
    assert LogFile.parse(FILE.path) == FILE
    assert not set("%# ") & set(FILE.path)
    assert FILE.day.isoformat() == "2026-11-28"
    assert LogFile.parse(replace(FILE, kind="feedback").path) == replace(FILE, kind="feedback")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "predictions/m/1/x.parquet",
        "other/m/1/5-6-w.parquet",
        "predictions/m/1/5-6-w.csv",
        "predictions/5-6-w.parquet",
    ],
)
def test_another_file_is_no_file_of_the_log(path: str) -> None:
    assert LogFile.parse(path) is None

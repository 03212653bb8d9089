import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import DataError, MantaError
from app.training import data_function, run_tags
from app.training.data.dataset import Dataset

CODE = """
from sklearn.datasets import load_diabetes


def load():
    return load_diabetes(as_frame=True).frame.assign(sex=lambda frame: frame["sex"].gt(0).map({True: "f", False: "m"}))


def rows():
    return [1, 2]


def fail():
    raise ValueError("no connection")


number = 3
"""


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the imported file after each test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("patients", None)


def read(tmp_path: Path, function: str = "", *, code: str = CODE) -> Dataset:
    (tmp_path / "patients.py").write_text(code)
    return data_function.read_function(f"{tmp_path}/patients.py{function}", target="target")


def test_a_function_of_a_file_returns_the_data(tmp_path: Path) -> None:
    dataset = read(tmp_path, ":load")

    assert dataset.rows.features.shape == (442, 10)
    assert set(dataset.rows.features["sex"]) == {"f", "m"}
    assert (dataset.name, dataset.source) == ("patients.py:load", f"{tmp_path}/patients.py:load")
    assert dataset.tags == {run_tags.DATA_FILE_HASH: hashlib.sha256(CODE.encode()).hexdigest()}


def test_a_file_without_a_function_name_is_read_by_its_function_load(tmp_path: Path) -> None:
    assert read(tmp_path).name == "patients.py:load"


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (":none", MantaError, r"patients\.py has no function none"),
        (":number", MantaError, r"patients\.py has no function number"),
        (":rows", DataError, r"patients\.py:rows returned a value of type list.*pandas DataFrame"),
        (":fail", MantaError, r"patients\.py:fail failed: patients\.py, line 14, in fail: .*no connection"),
    ],
)
def test_an_unusable_function_is_refused_with_its_name(
    tmp_path: Path, function: str, error: type[MantaError], message: str
) -> None:
    with pytest.raises(error, match=message):
        read(tmp_path, function)


def test_a_file_that_cannot_be_imported_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(MantaError, match=r"patients\.py cannot be imported: patients\.py, line 1"):
        read(tmp_path, code="import nothing_of_this_name")


@pytest.mark.parametrize(
    ("location", "is_function"), [("data.py", True), ("a/data.py:load", True), ("data.csv", False)]
)
def test_the_ending_decides_whether_a_location_is_a_function(location: str, *, is_function: bool) -> None:
    assert data_function.is_function(location) == is_function

import numpy as np
import pandas as pd
import pytest

from app.errors import DataError
from app.training import run_tags
from app.training.data import sources
from app.training.data.dataset import Dataset, Task
from app.training.data.leaks import find_leaks
from app.training.data.targets import check_target, task_of


def dataset(target: object, **columns: object) -> Dataset:
    frame = pd.DataFrame({"x": np.arange(len(target)) % 5, **columns, "y": target})  # type: ignore[arg-type] # sized
    return sources.from_frame(frame, target="y", name="houses", source="houses.csv")


@pytest.mark.parametrize(
    ("target", "dtype", "task"),
    [
        (["yes", "no"], "object", "classification"),
        (pd.Series(["yes", "no"], dtype="category"), "object", "classification"),
        ([1, 0], "int64", "classification"),
        ([1.0, 0.0], "int64", "classification"),
        ([True, False], "bool", "classification"),
        ([0.5, 1.0], "float64", "regression"),
        (np.arange(100), "int64", "classification"),
        (np.arange(101), "int64", "regression"),
    ],
)
def test_the_target_decides_what_the_default_model_predicts(target: object, dtype: str, task: Task) -> None:
    rows = dataset(target).rows

    assert rows.target.dtype == dtype
    assert task_of(rows.target) == task
    check_target(rows, task)


@pytest.mark.parametrize(
    ("target", "task", "message"),
    [
        (["a", "a"], "classification", "only the class 'a'"),
        ([2.5, 2.5], "regression", "only the value 2.5"),
        ([0.5, 1.0], "classification", "has fractions.*Use a regressor"),
        (["a", "b"], "regression", "holds labels such as 'a'.*Use a classifier"),
        ([True, False], "regression", "holds labels such as True"),
        (np.arange(1001), "classification", "1001 classes in 1001 rows.*up to 1000.*use a regressor"),
    ],
)
def test_a_target_that_the_task_does_not_take_is_refused(target: object, task: Task, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_target(dataset(target).rows, task)


def test_a_copy_and_a_recoding_of_the_classes_are_leaks() -> None:
    wine = sources.load_bundled("wine").rows
    code = wine.target.map({"class_0": 7, "class_1": -1, "class_2": 3})
    features = wine.features.assign(copy=wine.target, code=code, coarse=code > 0, gaps=code.where(code.index % 9 > 0))

    leaking = sources.from_frame(features.assign(y=wine.target), target="y", name="wine", source="wine")

    assert leaking.tags == {run_tags.DATA_LEAKS: "copy, code, gaps"}
    assert sources.load_bundled("wine").tags == {}


def test_a_number_that_rises_or_falls_with_the_target_is_a_leak() -> None:
    rows = sources.load_bundled("diabetes").rows
    noisy = rows.target + np.where(np.arange(len(rows)) == 400, 50, 0)
    features = rows.features.assign(pounds=rows.target * 2.2 + 3, log=-np.log(rows.target), noisy=noisy)

    leaking = sources.from_frame(features.assign(y=rows.target), target="y", name="diabetes", source="diabetes")

    assert find_leaks(leaking.rows, "regression") == ["pounds", "log"]
    assert find_leaks(rows, "regression") == []


def test_a_column_of_row_numbers_is_no_leak() -> None:
    rows = dataset(["a", "b"] * 20, number=np.arange(40), name=[f"name {i}" for i in range(40)]).rows

    assert find_leaks(rows, "classification") == []

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedKFold

from app.errors import DataError
from app.training.data import sources
from app.training.data.dataset import Rows, Task
from app.training.data.folds import check_folds, folds

WINE = sources.load_bundled("wine").rows


def rows_with(**roles: pd.Series) -> Rows:
    return Rows(features=WINE.features, target=WINE.target, **roles)


def divide(rows: Rows, *, task: Task = "classification", count: int = 4) -> list[tuple[np.ndarray, np.ndarray]]:
    check_folds(rows, task=task, count=count)
    return list(folds(rows, task=task, count=count, seed=3))


def test_classes_are_divided_as_scikit_learn_divides_them() -> None:
    expected = StratifiedKFold(4, shuffle=True, random_state=3).split(WINE.features, WINE.target)

    for (train, test), (expected_train, expected_test) in zip(divide(WINE), expected, strict=True):
        assert train.tolist() == expected_train.tolist()
        assert test.tolist() == expected_test.tolist()


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_group_is_in_one_fold(task: Task) -> None:
    groups = pd.Series(np.arange(len(WINE)) % 23)

    for train, test in divide(rows_with(groups=groups), task=task):
        assert not set(groups.iloc[train]) & set(groups.iloc[test])


def test_every_row_is_tested_once_without_times() -> None:
    tested = np.concatenate([test for _, test in divide(WINE, task="regression")])

    assert sorted(tested.tolist()) == list(range(len(WINE)))


def test_a_fold_by_time_trains_on_everything_before_its_test_rows() -> None:
    times = pd.Series(np.random.default_rng(0).integers(0, 40, len(WINE)).astype(float))

    windows = divide(rows_with(times=times))

    for train, test in windows:
        assert times.iloc[train].max() < times.iloc[test].min()
    assert [len(train) for train, _ in windows] == sorted(len(train) for train, _ in windows)
    assert len(windows[-1][0]) + len(windows[-1][1]) == len(WINE)


def test_a_class_with_fewer_training_rows_than_folds_is_refused() -> None:
    rows = WINE.take(np.r_[0:6, 100:140])

    with pytest.raises(DataError, match=r"fewer training rows than there are folds: 'class_0' \(6\).*at least 7"):
        check_folds(rows, task="classification", count=7)


def test_fewer_groups_than_folds_are_refused() -> None:
    with pytest.raises(DataError, match="3 groups in column 'g'"):
        check_folds(rows_with(groups=pd.Series(np.arange(len(WINE)) % 3, name="g")), task="regression", count=4)


def test_times_that_leave_a_fold_without_rows_or_classes_are_refused() -> None:
    with pytest.raises(DataError, match="cannot be divided by time into 4 folds"):
        check_folds(rows_with(times=pd.Series(np.repeat([0.0, 1.0], len(WINE) // 2))), task="regression", count=4)
    with pytest.raises(DataError, match=r"training rows and .* test rows of 1 class"):
        check_folds(rows_with(times=pd.Series(np.arange(len(WINE)))), task="classification", count=4)

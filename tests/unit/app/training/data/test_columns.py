import datetime as dt
import decimal
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

from app.errors import DataError, ParameterError
from app.training.data.columns import (
    ColumnRoles,
    check_numbers,
    normalize_features,
    rows_from_frame,
)
from app.training.data.dataset import Dataset

TEXT = pd.StringDtype(na_value=np.nan)


def normalize(values: object) -> pd.Series:
    return normalize_features(pd.DataFrame({"x": values}), source="houses.csv")["x"]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (pd.Series([1, 2, 3]), "float64", [1.0, 2.0, 3.0]),
        (pd.Series([1, None, 3], dtype="Int64"), "float64", [1.0, np.nan, 3.0]),
        (pd.Series([1.5, None], dtype="float32"), "float64", [1.5, np.nan]),
        (pd.Series([decimal.Decimal("1.5"), None]), "float64", [1.5, np.nan]),
        (pd.Series([None, None], dtype=object), "float64", [np.nan, np.nan]),
        (pd.Series([True, False]), "bool", [True, False]),
        (pd.Series([True, None, False], dtype=object), "float64", [1.0, np.nan, 0.0]),
        (pd.Series([True, None, False], dtype="boolean"), "float64", [1.0, np.nan, 0.0]),
        (pd.Series(["a", None], dtype=object), TEXT, ["a", np.nan]),
        (pd.Series(["a", None], dtype="string"), TEXT, ["a", np.nan]),
        (pd.Series([None, None], dtype=TEXT), TEXT, [np.nan, np.nan]),
        (pd.Series([1, 2, 1], dtype="category"), "float64", [1.0, 2.0, 1.0]),
        (
            pd.Series([dt.date(2026, 1, 2), None]),
            "datetime64[us]",
            [pd.Timestamp("2026-01-02"), pd.NaT],
        ),
        (
            pd.Series(pd.to_datetime(["2026-01-02T03:00:00+02:00"])),
            "datetime64[us]",
            [pd.Timestamp("2026-01-02T01:00:00")],
        ),
    ],
)
def test_a_column_keeps_its_kind_and_its_missing_values(
    values: pd.Series, dtype: object, expected: list[object]
) -> None:
    column = normalize(values)

    assert column.dtype == dtype
    pd.testing.assert_series_equal(column, pd.Series(expected, name="x", dtype=column.dtype))


def test_categories_of_text_keep_their_order() -> None:
    sizes = pd.Categorical(["L", None, "S"], categories=["S", "M", "L"], ordered=True)

    column = normalize(sizes)

    assert column.cat.categories.tolist() == ["S", "M", "L"]
    assert column.cat.ordered


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, "a"], r"x \(int and str\).*numbers, booleans, text, categories and dates"),
        ([[1], [2]], r"x \(list\)"),
        ([1j, 2j], r"x \(complex\)"),
        ([b"a", b"b"], r"x \(bytes\)"),
        (pd.to_timedelta([1, 2], unit="s"), r"x \(timedelta"),
        ([1.0, np.inf, -np.inf], "2 values that are infinite or beyond float32.*data row 2, column 'x': inf"),
        ([1.0, 1e39], r"data row 2, column 'x': 1e\+39"),
    ],
)
def test_a_column_that_no_estimator_takes_is_refused_with_its_name(values: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        normalize(values)


def test_two_columns_of_one_name_are_refused() -> None:
    frame = pd.DataFrame([[1, 2, "yes"]], columns=["a", "a", "sold"])

    with pytest.raises(DataError, match="more than one column 'a'"):
        rows_from_frame(frame, ColumnRoles(target="sold"), source="houses.csv")


def test_columns_with_another_role_are_no_features() -> None:
    frame = load_wine(as_frame=True).frame
    frame = frame.assign(day="2026-01-02", weight=2, shop=frame.index % 7)

    rows = rows_from_frame(
        frame, ColumnRoles(target="target", group="shop", time="day", weight="weight"), source="wine.csv"
    )

    assert rows.features.columns.tolist() == load_wine()["feature_names"]
    assert rows.groups is not None
    assert rows.groups.tolist() == frame["shop"].tolist()
    assert rows.times is not None
    assert rows.times.iloc[0] == pd.Timestamp("2026-01-02")
    assert rows.weights is not None
    assert rows.weights.dtype == np.float64


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"group": "none"}, "no column 'none'.*as --group"),
        ({"group": "gap"}, "1 missing values in column 'gap'.*data row 2"),
        ({"time": "word"}, "column 'word' that are neither dates nor numbers"),
        ({"time": "gap"}, "1 missing values in column 'gap'"),
        ({"weight": "sign"}, r"1 unusable weights in column 'sign'.*data row 3: -1.*above 0"),
        ({"weight": "word"}, "3 unusable weights"),
    ],
)
def test_an_unusable_column_of_a_role_is_refused(roles: dict[str, str], message: str) -> None:
    frame = pd.DataFrame(
        {"x": [1, 2, 3], "y": ["a", "b", "a"], "gap": [1, None, 2], "word": ["a", "b", "c"], "sign": [1, 2, -1]}
    )

    with pytest.raises(DataError, match=message):
        rows_from_frame(frame, ColumnRoles(target="y", **roles), source="houses.csv")


def test_a_column_with_two_roles_is_refused() -> None:
    frame = pd.DataFrame({"x": [1, 2], "y": ["a", "b"]})

    with pytest.raises(ParameterError, match="--target y, --group y"):
        rows_from_frame(frame, ColumnRoles(target="y", group="y"), source="houses.csv")


def test_the_default_forest_needs_numbers_of_which_some_may_be_missing() -> None:
    frame = pd.DataFrame({"a": [1.0, None], "garden": [True, False], "city": ["x", "y"]})

    check_numbers(frame[["a", "garden"]], source="houses.csv")
    with pytest.raises(DataError, match=r"not numbers: city \(text\).*pipeline"):
        check_numbers(frame, source="houses.csv")


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.assign(city=["x", "y", None]),
        lambda frame: frame.assign(city=frame["city"].astype("category")),
        lambda frame: frame.assign(size=frame["size"].cat.reorder_categories(["L", "S"])),
        lambda frame: frame.assign(garden=frame["garden"].astype(float)),
        lambda frame: frame.assign(built=frame["built"] + pd.Timedelta(1, "us")),
        lambda frame: frame.rename(columns={"city": "town"}),
        lambda frame: frame.iloc[::-1],
        lambda frame: frame[["garden", "city", "size", "built", "y"]],
    ],
)
def test_the_fingerprint_covers_values_types_names_and_order(
    change: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    frame = pd.DataFrame(
        {
            "city": ["x", "y", "z"],
            "garden": [True, False, True],
            "size": pd.Categorical(["S", "L", "S"], categories=["S", "L"]),
            "built": pd.date_range("2026-01-01", periods=3),
            "y": ["a", "b", "a"],
        }
    )

    assert fingerprint(frame) == fingerprint(frame.copy())
    assert fingerprint(frame) != fingerprint(change(frame))


def test_groups_times_and_weights_change_the_fingerprint() -> None:
    frame = pd.DataFrame({"a": [1, 2], "g": [1, 2], "y": ["a", "b"]})

    found = {fingerprint(frame, **{role: "g"}) for role in ("group", "time", "weight")}

    assert len(found | {fingerprint(frame.drop(columns="g"))}) == 4


def fingerprint(frame: pd.DataFrame, **roles: str) -> str:
    rows = rows_from_frame(frame, ColumnRoles(target="y", **roles), source="s")
    return Dataset(name="n", source="s", rows=rows).fingerprint

"""The types of the columns that a model is trained on, and the columns that have another role than a feature.

Numbers become float64 with NaN for missing values. Booleans, text, categories and dates stay what they are.
`app.training.data.targets` checks the target.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from app.errors import DataError, ParameterError
from app.training.data.dataset import Rows
from app.training.data.targets import normalize_target

COLUMNS_SHOWN: Final = 20
"""Maximum number of columns that an error message lists."""

TEXT: Final = pd.StringDtype(na_value=np.nan)
"""Type of a text column; a missing value is NaN."""

FEATURE_TYPES: Final = "numbers, booleans, text, categories and dates"


@dataclass(frozen=True, kw_only=True)
class ColumnRoles:
    """Names of the columns that are no features."""

    target: str
    group: str | None = None
    time: str | None = None
    weight: str | None = None

    def names(self) -> dict[str, str]:
        """Return the name of each column that is set, by its option without dashes."""
        roles = {"target": self.target, "group": self.group, "time": self.time, "weight": self.weight}
        return {role: name for role, name in roles.items() if name is not None}


def rows_from_frame(frame: pd.DataFrame, roles: ColumnRoles, *, source: str) -> Rows:
    """Check a table, and divide its columns into features, target, groups, times and weights.

    Args:
        frame: One example per row.
        roles: The columns that are no features.
        source: Where the table comes from, for error messages.

    Raises:
        DataError: A column is missing, or has values that cannot be used. The message names the column.
        ParameterError: One column has two roles.
    """
    frame = frame.rename(columns=str)
    _check_names(frame, roles, source)
    features = frame.drop(columns=list(roles.names().values()))
    if frame.empty:
        raise DataError(f"{source} has no rows.", next_step="Add rows.")
    if features.shape[1] == 0:
        raise DataError(f"{source} has no feature column, only the target.", next_step="Add a feature column.")
    return Rows(
        features=normalize_features(features, source=source),
        target=normalize_target(frame[roles.target], source=source),
        groups=_complete(frame[roles.group], source) if roles.group else None,
        times=_times(frame[roles.time], source) if roles.time else None,
        weights=_weights(frame[roles.weight], source) if roles.weight else None,
    )


def normalize_features(features: pd.DataFrame, *, source: str) -> pd.DataFrame:
    """Return features of one of five types: float64, bool, text, category of texts, and date without a time zone.

    Numbers of every kind become float64. Booleans with missing values become float64 with 1, 0 and NaN. Dates become
    UTC with microseconds.

    Raises:
        DataError: A column has another type, or a number is infinite or beyond float32.
    """
    columns: dict[str, pd.Series] = {}
    refused: dict[str, str] = {}
    for name, column in features.items():
        normalized = _normalize_column(column)
        if normalized is None:
            refused[str(name)] = _type_name(column)
        else:
            columns[str(name)] = normalized
    if refused:
        raise DataError(
            f"{source} has columns of types that training does not take: {_list_columns(refused)}.",
            allowed=FEATURE_TYPES,
            next_step="Convert these columns, or drop them.",
        )
    normalized_features = pd.DataFrame(columns, index=features.index)
    _check_numbers(normalized_features, source)
    return normalized_features


def check_numbers(features: pd.DataFrame, *, source: str) -> None:
    """Check that every column holds numbers or booleans, as the forest that is trained without `--model` needs them.

    Raises:
        DataError: A column has another type.
    """
    others = {str(name): _type_name(column) for name, column in features.items() if not _is_numeric(column)}
    if others:
        raise DataError(
            f"{source} has columns that are not numbers: {_list_columns(others)}.",
            allowed="numbers and booleans for the forest that is trained without --model; values may be missing",
            next_step="Give a pipeline that encodes these columns with --model, or drop them.",
        )


def _check_names(frame: pd.DataFrame, roles: ColumnRoles, source: str) -> None:
    duplicates = frame.columns[frame.columns.duplicated()]
    if len(duplicates):
        raise DataError(
            f"{source} has more than one column {duplicates[0]!r}.", next_step="Give each column a name of its own."
        )
    for role, name in roles.names().items():
        if name not in frame.columns:
            raise DataError(
                f"{source} has no column {name!r}.",
                allowed=", ".join(frame.columns[:COLUMNS_SHOWN]) + (", ..." if frame.shape[1] > COLUMNS_SHOWN else ""),
                next_step=f"Give one of its columns as --{role}.",
            )
    if len(set(roles.names().values())) < len(roles.names()):
        raise ParameterError(
            "One column has two roles: " + ", ".join(f"--{role} {name}" for role, name in roles.names().items()) + ".",
            next_step="Give a column of its own for each option.",
        )


def _normalize_column(column: pd.Series) -> pd.Series | None:
    """Return a column as one of the five types, or None if it has no such type."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        if pd.api.types.infer_dtype(column.cat.categories) == "string":
            return column
        column = column.astype(column.cat.categories.dtype)
    if isinstance(column.dtype, pd.StringDtype):
        return _text(column)
    if pd.api.types.is_bool_dtype(column):
        return _booleans(column)
    if pd.api.types.is_datetime64_any_dtype(column):
        return _dates(column)
    if pd.api.types.is_numeric_dtype(column):
        return None if pd.api.types.is_complex_dtype(column) else column.astype(np.float64)
    convert = CONVERSIONS.get(pd.api.types.infer_dtype(column, skipna=True))
    return None if convert is None else convert(column)


def _booleans(column: pd.Series) -> pd.Series:
    if column.isna().any():
        return column.map({True: 1.0, False: 0.0}).astype(np.float64)
    return column.astype(bool)


def _dates(column: pd.Series) -> pd.Series:
    return pd.to_datetime(column, utc=True).dt.tz_localize(None).astype("datetime64[us]")


def _numbers(column: pd.Series) -> pd.Series:
    return column.astype(np.float64)


def _text(column: pd.Series) -> pd.Series:
    return column.astype(TEXT)


CONVERSIONS: Final[dict[str, Callable[[pd.Series], pd.Series]]] = {
    "boolean": _booleans,
    "date": _dates,
    "datetime": _dates,
    "datetime64": _dates,
    "decimal": _numbers,
    "empty": _numbers,
    "floating": _numbers,
    "integer": _numbers,
    "mixed-integer-float": _numbers,
    "string": _text,
}
"""Conversion of a column of Python objects, by the type that pandas infers from its values."""


def _check_numbers(features: pd.DataFrame, source: str) -> None:
    """Check that every number that is not missing is finite in float32, in which scikit-learn's trees compare."""
    count, first = 0, (len(features), "")
    for name, column in features.items():
        if column.dtype != np.float64:
            continue
        values = column.to_numpy()
        with np.errstate(over="ignore"):
            is_infinite = np.isinf(values.astype(np.float32))
        if is_infinite.any():
            count += int(is_infinite.sum())
            first = min(first, (int(np.argmax(is_infinite)), str(name)), key=lambda place: place[0])
    if count:
        row, name = first
        raise DataError(
            f"{source} has {count} values that are infinite or beyond float32. "
            f"The first is in data row {row + 1}, column {name!r}: {features[name].iloc[row]}.",
            allowed="finite numbers, and missing values",
            next_step="Correct or drop these rows.",
        )


def _complete(column: pd.Series, source: str) -> pd.Series:
    """Return a column, checked to have no missing value."""
    is_missing = column.isna().to_numpy()
    if is_missing.any():
        raise DataError(
            f"{source} has {int(is_missing.sum())} missing values in column {column.name!r}. The first is in data row "
            f"{int(np.argmax(is_missing)) + 1}.",
            next_step="Fill or drop these rows.",
        )
    return column


def _times(column: pd.Series, source: str) -> pd.Series:
    """Return times as numbers, or as dates without a time zone."""
    column = _complete(column, source)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.astype(np.float64)
    try:
        return pd.to_datetime(column, utc=True, format=None if _is_date(column) else "ISO8601").dt.tz_localize(None)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{source} has values in column {column.name!r} that are neither dates nor numbers: {error}",
            allowed="numbers, dates, and text like 2026-11-28 or 2026-11-28T09:30:00Z",
            next_step="Convert the column, or give another column as --time.",
        ) from error


def _weights(column: pd.Series, source: str) -> pd.Series:
    """Return weights as float64."""
    column = _complete(column, source)
    weights = pd.to_numeric(column, errors="coerce").astype(np.float64)
    is_refused = ~(np.isfinite(weights) & (weights > 0)).to_numpy()
    if is_refused.any():
        row = int(np.argmax(is_refused))
        raise DataError(
            f"{source} has {int(is_refused.sum())} unusable weights in column {column.name!r}. The first is in data "
            f"row {row + 1}: {column.iloc[row]}.",
            allowed="finite numbers above 0",
            next_step="Correct these weights, or drop the rows.",
        )
    return weights


def _is_date(column: pd.Series) -> bool:
    return pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.infer_dtype(column) in {"date", "datetime"}


def _is_numeric(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column))


def _type_name(column: pd.Series) -> str:
    kind = str(pd.api.types.infer_dtype(column, skipna=True))
    if kind.startswith("mixed"):
        kinds = sorted({type(value).__name__ for value in column.dropna().head(1000)})
        return " and ".join(kinds) if len(kinds) < 4 else kind  # noqa: PLR2004 - a short list
    return {"string": "text", "categorical": "categories", "datetime64": "dates"}.get(kind, kind)


def _list_columns(types: dict[str, str]) -> str:
    shown = [f"{name} ({kind})" for name, kind in list(types.items())[:COLUMNS_SHOWN]]
    return ", ".join(shown) + (", ..." if len(types) > COLUMNS_SHOWN else "")

"""Which columns a model may not take, after a fit failed, and a pipeline that would take them."""

import traceback
from dataclasses import dataclass
from typing import Final

import pandas as pd
from sklearn.base import BaseEstimator

COLUMNS_SHOWN: Final = 10
"""Maximum number of columns that a message lists."""

GAP_WORDS: Final = ("nan", "missing", "<na>")
"""Words of scikit-learn's errors about missing values."""

TEXT_WORDS: Final = ("could not convert", "convert string", "non-numeric", "dtype", "timestamp", "datetime")
"""Words of scikit-learn's and numpy's errors about values that are not numbers."""

PIPELINE: Final = """Let build return a pipeline that takes them, for example:

    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
        (SimpleImputer(), make_column_selector(dtype_include="number")),
    )
    return make_pipeline(columns, MODEL)

HistGradientBoostingClassifier and HistGradientBoostingRegressor take missing values as they are."""
"""Next step of an error about columns."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What an error about columns says in addition to the exception."""

    columns: str
    next_step: str


def describe(error: BaseException, features: pd.DataFrame) -> Advice | None:
    """Name the estimator that failed and the columns that can be the reason.

    Args:
        error: The exception of the fit.
        features: The rows of the fit.

    Returns:
        None if no column has text, dates or missing values, or if the exception is about something else.
    """
    message = str(error).lower()
    is_about_gaps = any(word in message for word in GAP_WORDS)
    is_about_text = any(word in message for word in TEXT_WORDS)
    kinds = {}
    if is_about_text:
        kinds["with text"] = [name for name in features if _is_text(features[name])]
        kinds["with dates"] = [name for name in features if pd.api.types.is_datetime64_any_dtype(features[name])]
    if is_about_gaps:
        kinds["with missing values"] = list(features.columns[features.isna().any()])
    named = [f"Columns {kind}: {_shorten(names)}." for kind, names in kinds.items() if names]
    if not named:
        return None
    estimator = _failed_estimator(error)
    place = f"The step that failed is {estimator}. " if estimator else ""
    return Advice(columns=place + " ".join(named), next_step=PIPELINE)


def _is_text(column: pd.Series) -> bool:
    return not (
        pd.api.types.is_numeric_dtype(column)
        or pd.api.types.is_datetime64_any_dtype(column)
        or pd.api.types.is_bool_dtype(column)
    )


def _failed_estimator(error: BaseException) -> str:
    """Return the class of the estimator in whose method the exception was raised; empty if there is none."""
    names = [
        type(frame.f_locals["self"]).__name__
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if isinstance(frame.f_locals.get("self"), BaseEstimator)
    ]
    return names[-1] if names else ""


def _shorten(names: list[str]) -> str:
    return ", ".join(map(str, names[:COLUMNS_SHOWN])) + (", ..." if len(names) > COLUMNS_SHOWN else "")

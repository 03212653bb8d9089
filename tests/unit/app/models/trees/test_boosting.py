"""Boosting as flat arrays gives scikit-learn's bits: on rows of real data with gaps, and next to every threshold."""

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.types import DataType
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from app.errors import FeaturesError
from app.models.trees import flatten
from app.models.trees.histogram_boosting import flatten_histograms
from tests.support.boosting_data import (
    CANCER,
    DIABETES,
    DIGITS,
    WINE,
    Data,
    assert_equal,
    compiled,
    hard_rows,
    with_gaps,
)


def with_categories(rows: np.ndarray) -> np.ndarray:
    """Round the first columns to a few numbers, negative ones too."""
    rows = rows.copy()
    rows[:, :3] = np.round((rows[:, :3] - rows[:, :3].mean(axis=0)) / rows[:, :3].std(axis=0) * 2)
    return with_gaps(rows)


def histograms(data: Data, **params: Any) -> tuple[BaseEstimator, Data]:  # noqa: ANN401 - parameters of scikit-learn
    kind = HistGradientBoostingRegressor if data[1].dtype.kind == "f" else HistGradientBoostingClassifier
    return kind(**{"max_iter": 8, "min_samples_leaf": 5, "random_state": 0} | params), data


def stages(data: Data, **params: Any) -> tuple[BaseEstimator, Data]:  # noqa: ANN401 - parameters of scikit-learn
    kind = GradientBoostingRegressor if data[1].dtype.kind == "f" else GradientBoostingClassifier
    return kind(n_estimators=9, random_state=0, **params), data


MODELS = {
    "two classes": histograms(CANCER),
    "three classes": histograms(WINE),
    "ten classes": histograms(DIGITS, max_iter=3),
    "with gaps": histograms((with_gaps(CANCER[0]), CANCER[1])),
    "with categories": histograms((with_categories(WINE[0]), WINE[1]), categorical_features=[0, 1, 2]),
    "other categories": histograms((with_categories(DIABETES[0]), DIABETES[1]), categorical_features=[2, 0]),
    "squared error": histograms(DIABETES),
    "absolute error": histograms(DIABETES, loss="absolute_error"),
    "poisson": histograms(DIABETES, loss="poisson"),
    "gamma": histograms((with_gaps(DIABETES[0]), DIABETES[1]), loss="gamma"),
    "quantile": histograms(DIABETES, loss="quantile", quantile=0.9),
    "early stopping": histograms(CANCER, early_stopping=True, n_iter_no_change=2),
    "stages, two classes": stages(CANCER),
    "stages, three classes": stages(WINE, max_depth=2, subsample=0.7),
    "stages, ten classes": stages(DIGITS),
    "stages, exponential": stages(CANCER, loss="exponential"),
    "stages, started at zero": stages(CANCER, init="zero"),
    "stages, squared error": stages(DIABETES),
    "stages, huber": stages(DIABETES, loss="huber"),
    "stages, quantile": stages(DIABETES, loss="quantile"),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """scikit-learn's threads wait for each other for long where other processes use the processor."""
    with threadpool_limits(1, user_api="openmp"):
        yield


@pytest.mark.parametrize("name", MODELS)
def test_boosting_equals_scikit_learn_in_every_bit(name: str) -> None:
    model, (rows, target) = MODELS[name]
    model.fit(rows, target)
    predictor = compiled(model, rows)
    takes_gaps = isinstance(model, HistGradientBoostingClassifier | HistGradientBoostingRegressor)
    tested = [rows, hard_rows(rows, seed=1), rows[:1], rows[3:12]]
    tested += [with_gaps(hard_rows(rows, seed=2))] if takes_gaps else []

    assert predictor.flat is not None
    for batch in tested:
        assert_equal(predictor, model, batch)


def test_unknown_categories_are_missing_values_as_in_scikit_learn() -> None:
    model, (rows, target) = MODELS["with categories"]
    model.fit(rows, target)
    unknown = rows.copy()
    unknown[:, :3] += np.random.default_rng(3).choice([0, 0.5, -99, 300], (len(rows), 3))

    answers = compiled(model, rows).predict(unknown)

    assert answers.probabilities is not None
    assert answers.probabilities.tolist() == model.predict_proba(unknown).tolist()


def test_columns_of_type_float_are_rounded_as_a_data_frame_rounds_them() -> None:
    rows, target = DIABETES
    frame = pd.DataFrame(rows).rename(columns=str).astype({"2": np.float32})
    model = HistGradientBoostingRegressor(max_iter=9, random_state=0).fit(frame, target)

    predictor = compiled(model, frame.to_numpy(dtype=np.float64), {2: DataType.float})

    assert predictor.flat is not None
    near = rows + 1e-9
    expected = model.predict(pd.DataFrame(near).rename(columns=str).astype({"2": np.float32}))
    assert predictor.predict(near).predictions.tolist() == expected.tolist()


def test_a_pipeline_whose_other_steps_do_nothing_is_compiled() -> None:
    model, (rows, target) = MODELS["squared error"]

    idle = compiled(Pipeline([("a", "passthrough"), ("b", None), ("c", model)]).fit(rows, target), rows)
    busy = compiled(make_pipeline(StandardScaler(), model).fit(rows, target), rows)

    assert idle.flat is not None
    assert busy.flat is None


def test_stages_refuse_missing_values_as_scikit_learn_does() -> None:
    model, (rows, target) = MODELS["stages, squared error"]
    predictor = compiled(model.fit(rows, target), rows)

    with pytest.raises(FeaturesError, match="hold a missing or too large number"):
        predictor.predict(with_gaps(rows))


def test_stages_that_start_with_another_model_are_left_to_scikit_learn() -> None:
    rows, target = DIABETES
    model = GradientBoostingRegressor(n_estimators=3, init=LinearRegression()).fit(rows, target)

    assert compiled(model, rows).flat is None


def test_text_categories_are_left_to_scikit_learn() -> None:
    frame = pd.DataFrame({"a": np.array(["x", "y", "z"])[WINE[1]], "b": WINE[0][:, 0]}).astype({"a": "category"})
    model = HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype").fit(frame, WINE[1])

    assert model.is_categorical_.tolist() == [True, False]
    assert flatten_histograms(model, np.zeros(2)) is None


class Doubled(HistGradientBoostingRegressor):  # type: ignore[misc]  # scikit-learn has no types
    """Predicts other numbers than its trees add up to."""

    def predict(self, X: np.ndarray) -> Any:  # noqa: ANN401, N803 - scikit-learn's names and types
        return 2 * super().predict(X)


def test_trees_that_answer_otherwise_than_their_library_are_not_used(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flatten, "HISTOGRAMS", (Doubled,))
    rows, target = DIABETES

    with caplog.at_level(logging.WARNING):
        predictor = compiled(Doubled(max_iter=2).fit(rows, target), rows)

    assert predictor.flat is None
    assert "m is answered by its library, not by compiled trees: a predicted bit differs" in caplog.text


def test_tree_walks_count_every_tree() -> None:
    model, (rows, target) = MODELS["three classes"]

    assert compiled(model.fit(rows, target), rows).tree_walks(10) == 10 * 8 * 3

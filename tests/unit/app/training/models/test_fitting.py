"""A fit in slices equals one `fit`, also at the end of a pipeline. The slices are fitted here, without Ray."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, StackingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from app.errors import ParameterError
from app.training import distributed_forest
from app.training.data.dataset import Rows
from app.training.models import fitting
from app.training.models.fingerprint import model_fingerprint
from app.training.ray_cluster import RayWorkers

DATA = load_breast_cancer(as_frame=True)
ROWS = Rows(features=DATA.data, target=DATA.target)
WEIGHTED = Rows(features=DATA.data, target=DATA.target, weights=pd.Series(np.linspace(0.5, 2, len(ROWS))))
FOREST = RandomForestClassifier(11, random_state=1)
WORKERS = RayWorkers(total_cpus=2, cpus_per_task=1)


def fit_slices_here(forest: Any, features: Any, target: pd.Series, **options: Any) -> Any:  # noqa: ANN401 - any forest
    template, labels = distributed_forest.encode(forest, target)
    rows, weights = np.ascontiguousarray(features, dtype=np.float32), options["weights"]
    trees = [
        tree
        for offset, count in distributed_forest.tree_slices(forest.n_estimators, 2)
        for tree in distributed_forest.fit_slice(template, rows, labels, weights, offset, count)
    ]
    return distributed_forest.assemble(forest, trees, features, target, weights)


@pytest.mark.parametrize("rows", [ROWS, WEIGHTED], ids=["without weights", "with weights"])
@pytest.mark.parametrize(
    "model",
    [
        FOREST,
        make_pipeline(StandardScaler(), SelectKBest(k=5), clone(FOREST).set_params(class_weight="balanced")),
        make_pipeline(FOREST),
        make_pipeline(StandardScaler().set_output(transform="pandas"), ExtraTreesClassifier(11, random_state=1)),
    ],
    ids=["forest", "pipeline", "pipeline of one step", "pipeline that keeps names"],
)
def test_a_model_fitted_in_slices_equals_one_fit(
    model: BaseEstimator, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "LOCAL_FIT_LIMIT", 100)
    monkeypatch.setattr(distributed_forest, "fit", fit_slices_here)
    expected = clone(model).fit(rows.features, rows.target, **fitting.weight_parameters(model, rows.weights))

    fitted = fitting.fit(model, rows, workers=WORKERS)

    assert model_fingerprint(fitted) == model_fingerprint(expected)
    np.testing.assert_array_equal(fitted.predict_proba(rows.features), expected.predict_proba(rows.features))


def test_threads_for_the_fit_leave_the_models_own_setting_as_it_is() -> None:
    fitted = fitting.fit(make_pipeline(clone(FOREST).set_params(n_jobs=2)), ROWS, n_jobs=1)

    assert fitted[-1].n_jobs == 2


def test_weights_reach_the_last_step_of_a_nested_pipeline() -> None:
    model = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)))

    fitted = fitting.fit(model, WEIGHTED)

    expected = make_pipeline(StandardScaler(), StandardScaler(), LogisticRegression(max_iter=500))
    expected.fit(DATA.data, DATA.target, logisticregression__sample_weight=WEIGHTED.weights)
    np.testing.assert_array_equal(fitted[-1][-1].coef_, expected[-1].coef_)


def test_an_estimator_that_takes_no_weights_is_refused() -> None:
    with pytest.raises(ParameterError, match="KNeighborsClassifier takes no weights"):
        fitting.fit(KNeighborsClassifier(), WEIGHTED)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        RandomForestClassifier(10_000),
        RandomForestClassifier(10_000, random_state=1, warm_start=True),
        make_pipeline(RandomForestClassifier(10_000, random_state=1), memory="cache"),
        StackingClassifier([("forest", RandomForestClassifier(10_000, random_state=1))]),
    ],
    ids=["no forest", "no seed", "warm start", "pipeline with a cache", "forest inside"],
)
def test_a_model_that_cannot_be_sliced_needs_no_cluster(model: BaseEstimator) -> None:
    assert not fitting.needs_cluster(model, row_count=1_000_000)

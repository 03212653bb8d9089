"""The metrics are those of scikit-learn, with its `sample_weight`, on data sets that scikit-learn ships."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets, metrics
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from app.errors import DataError, ParameterError
from app.training.evaluation.metrics import find_metric, metric_names
from app.training.evaluation.predictions import Predictions, predict
from app.training.evaluation.scores import score, weighted_metric

LOADERS = {
    "breast-cancer": datasets.load_breast_cancer,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "diabetes": datasets.load_diabetes,
}


@cache
def load(name: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Read a data set; the classes are text."""
    bunch = LOADERS[name](as_frame=True)
    target = bunch.target.to_numpy()
    return bunch.data, target.astype(float) if name == "diabetes" else bunch.target_names[target].astype(object)


@cache
def fit(kind: Callable[[], BaseEstimator], name: str) -> tuple[Predictions, np.ndarray]:
    """Fit a model to every third row of a data set; return its predictions and the truth of the others."""
    features, target = load(name)
    is_test = np.arange(len(target)) % 3 > 0
    model = make_pipeline(StandardScaler(), kind()).fit(features[~is_test], target[~is_test])
    return predict(model, features[is_test]), target[is_test]


def row_weights(count: int) -> np.ndarray:
    """Positive weights; some rows count a hundred times as much as others."""
    return np.exp(np.random.default_rng(count).normal(size=count))


def roc_auc(truth: np.ndarray, predicted: Predictions, weights: np.ndarray | None) -> float:
    probabilities, classes = predicted.probabilities, predicted.classes
    assert probabilities is not None
    assert classes is not None
    scores = probabilities[:, 1] if len(classes) == 2 else probabilities
    return float(
        metrics.roc_auc_score(truth, scores, sample_weight=weights, multi_class="ovr", average="macro", labels=classes)
    )


REFERENCE: dict[str, Callable[[np.ndarray, Predictions, np.ndarray | None], float]] = {
    "accuracy": lambda y, p, w: metrics.accuracy_score(y, p.answers, sample_weight=w),
    "balanced_accuracy": lambda y, p, w: metrics.balanced_accuracy_score(y, p.answers, sample_weight=w),
    "f1": lambda y, p, w: metrics.f1_score(y, p.answers, average="macro", sample_weight=w),
    "roc_auc": roc_auc,
    "log_loss": lambda y, p, w: metrics.log_loss(y, p.probabilities, labels=p.classes, sample_weight=w),
    "brier": lambda y, p, w: metrics.brier_score_loss(
        y, p.probabilities, labels=p.classes, sample_weight=w, scale_by_half=False
    ),
    "rmse": lambda y, p, w: metrics.root_mean_squared_error(y, p.answers, sample_weight=w),
    "mae": lambda y, p, w: metrics.mean_absolute_error(y, p.answers, sample_weight=w),
    "r2": lambda y, p, w: metrics.r2_score(y, p.answers, sample_weight=w),
    "pinball": lambda y, p, w: metrics.mean_pinball_loss(y, p.answers, sample_weight=w),
    "pinball_0.9": lambda y, p, w: metrics.mean_pinball_loss(y, p.answers, sample_weight=w, alpha=0.9),
}
CLASSIFIED = [
    (metric, kind, name)
    for metric in metric_names("classification")
    for kind, name in (
        (RandomForestClassifier, "wine"),
        (LogisticRegression, "breast-cancer"),
        (LogisticRegression, "iris"),
    )
]
REGRESSED = [
    (metric, kind, "diabetes")
    for metric in [*metric_names("regression"), "pinball_0.9"]
    for kind in (RandomForestRegressor, LinearRegression)
]


@pytest.mark.parametrize(("metric", "kind", "name"), CLASSIFIED + REGRESSED)
def test_a_score_equals_that_of_scikit_learn_with_and_without_weights(
    metric: str, kind: Callable[[], BaseEstimator], name: str
) -> None:
    predicted, truth = fit(kind, name)
    weights = row_weights(len(truth))

    plain, weighted = score(metric, predicted, truth), score(metric, predicted, truth, weights)

    assert plain == pytest.approx(REFERENCE[metric](truth, predicted, None), rel=1e-12)
    assert weighted == pytest.approx(REFERENCE[metric](truth, predicted, weights), rel=1e-12)
    assert plain != weighted


@pytest.mark.parametrize(("metric", "kind", "name"), CLASSIFIED + REGRESSED)
def test_a_weight_counts_how_often_a_row_is_repeated(metric: str, kind: Callable[[], BaseEstimator], name: str) -> None:
    predicted, truth = fit(kind, name)
    counts = np.random.default_rng(0).integers(0, 4, size=len(truth))
    repeated = np.repeat(np.arange(len(truth)), counts)
    is_classified = predicted.probabilities is not None
    resampled = Predictions(
        answers=predicted.answers[repeated],
        probabilities=predicted.probabilities[repeated] if predicted.probabilities is not None else None,
        classes=predicted.classes if is_classified else None,
    )

    by_weight = weighted_metric(metric, predicted, truth)(counts.astype(float))

    assert by_weight == pytest.approx(REFERENCE[metric](truth[repeated], resampled, None), rel=1e-12)


@pytest.mark.parametrize("metric", metric_names("classification"))
def test_a_class_that_only_the_model_knows_counts_as_wrong(metric: str) -> None:
    predicted, truth = fit(RandomForestClassifier, "wine")
    assert predicted.probabilities is not None
    is_kept = (truth != "class_1") | (np.arange(len(truth)) % 9 == 0)
    is_kept &= truth != "class_2"
    answers = np.where(np.arange(len(truth)) % 5 == 0, "class_2", predicted.answers)
    predicted = Predictions(
        answers=answers[is_kept], probabilities=predicted.probabilities[is_kept], classes=predicted.classes
    )

    value = score(metric, predicted, truth[is_kept])

    if metric == "accuracy":
        assert value == pytest.approx(metrics.accuracy_score(truth[is_kept], answers[is_kept]))
    elif metric in {"log_loss", "brier"}:
        assert value == pytest.approx(REFERENCE[metric](truth[is_kept], predicted, None))
    assert 0 <= value <= 1


@pytest.mark.parametrize("metric", metric_names("classification"))
def test_a_class_without_weight_is_left_out(metric: str) -> None:
    predicted, truth = fit(RandomForestClassifier, "wine")
    assert predicted.probabilities is not None
    is_kept = truth != "class_2"
    rest = Predictions(
        answers=predicted.answers[is_kept], probabilities=predicted.probabilities[is_kept], classes=predicted.classes
    )

    value = weighted_metric(metric, predicted, truth)(is_kept.astype(float))

    # With two classes the ROC AUC is that of one class; with a third one without weight it is the mean of both.
    assert value == pytest.approx(score(metric, rest, truth[is_kept]), abs=0.01 if metric == "roc_auc" else 1e-12)


def test_the_answers_are_those_of_predict_also_where_they_are_not_the_most_probable_class() -> None:
    features, target = load("breast-cancer")
    inner = make_pipeline(StandardScaler(), LogisticRegression()).fit(features, target)
    model = FixedThresholdClassifier(inner, threshold=0.999, pos_label="benign").fit(features, target)

    predicted = predict(model, features)

    assert predicted.probabilities is not None
    most_probable = model.classes_[predicted.probabilities.argmax(axis=1)]
    assert np.count_nonzero(predicted.answers != most_probable) > 50
    assert score("accuracy", predicted, target) == model.score(features, target)


def test_a_model_without_probabilities_is_scored_by_its_answers_only() -> None:
    features, target = load("wine")
    model = SVC().fit(features, target)

    predicted = predict(model, features)

    assert (predicted.probabilities, predicted.classes) == (None, None)
    assert score("accuracy", predicted, target) == model.score(features, target)
    with pytest.raises(ParameterError, match=r"needs probabilities.*Allowed: accuracy, balanced_accuracy, f1\."):
        score("roc_auc", predicted, target)


def test_a_column_of_answers_is_one_answer_per_row() -> None:
    features, target = load("diabetes")

    predicted = predict(LinearRegression().fit(features, target[:, np.newaxis]), features)

    assert predicted.answers.shape == target.shape


def test_a_model_with_several_outputs_cannot_be_scored() -> None:
    features, target = load("diabetes")
    predicted = predict(Ridge().fit(features, np.stack([target, target], axis=1)), features)

    with pytest.raises(ParameterError, match=r"2 values per row.*one output"):
        score("rmse", predicted, target)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e300])
def test_answers_that_have_no_finite_error_are_an_error(bad: float) -> None:
    answers = np.array([1.0, bad, 2.0])

    with pytest.raises(ParameterError, match=r"too large or not numbers.*1 of 3 rows"):
        score("rmse", Predictions(answers=answers), np.array([1.0, 2.0, 3.0]))


def test_a_classifier_cannot_be_scored_as_a_regressor() -> None:
    with pytest.raises(ParameterError, match="does not answer numbers"):
        score("mae", Predictions(answers=np.array(["a", "b"], dtype=object)), np.array([1.0, 2.0]))


@pytest.mark.parametrize(
    ("metric", "target", "message"),
    [
        ("rmse", np.array(["a", "b"], dtype=object), "not a column of numbers"),
        ("r2", np.array([2.0, 2.0]), r"same target, \[2.0\]"),
        ("roc_auc", np.array(["a", "a"], dtype=object), r"same target, \['a'\]"),
    ],
)
def test_a_target_for_which_the_metric_is_not_defined_is_an_error(
    metric: str, target: np.ndarray, message: str
) -> None:
    predicted = Predictions(
        answers=np.array([1.0, 2.0]), probabilities=np.array([[0.5, 0.5]] * 2), classes=np.array(["a", "b"])
    )

    with pytest.raises(DataError, match=message):
        score(metric, predicted, target)


def test_r2_on_resamples_with_a_constant_target_is_that_of_scikit_learn() -> None:
    truth, answers = np.array([1.0, 1.0, 5.0]), np.array([1.0, 1.5, 5.0])
    r2 = weighted_metric("r2", Predictions(answers=answers), truth)

    assert [r2(np.array(weights)) for weights in ([0.0, 0.0, 2.0], [1.0, 1.0, 0.0])] == [1, 0]


def test_the_pinball_loss_is_lowest_at_its_quantile() -> None:
    _, target = load("diabetes")
    constants = np.quantile(target, [0.5, 0.8, 0.9, 0.95])

    losses = [score("pinball_0.9", Predictions(answers=np.full(len(target), value)), target) for value in constants]

    assert np.argmin(losses) == 2
    assert find_metric("pinball_0.9").level == 0.9

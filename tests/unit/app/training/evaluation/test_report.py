import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import image
from sklearn import metrics
from sklearn.base import BaseEstimator
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC

from app.training.data.dataset import Rows
from app.training.evaluation.predictions import Predictions, predict
from app.training.evaluation.report import compute_metrics, draw_plots

DIABETES = Rows(**dict(zip(("features", "target"), load_diabetes(return_X_y=True, as_frame=True), strict=True)))
IRIS = Rows(**dict(zip(("features", "target"), load_iris(return_X_y=True, as_frame=True), strict=True)))


def fit(model: BaseEstimator, rows: Rows) -> Predictions:
    return predict(model.fit(rows.features, rows.target), rows.features)


def plot_names(predicted: Predictions, rows: Rows, metric: str, folder: Path) -> list[str]:
    """Draw the plots into a folder, and check that each file is an image with more than one colour."""
    names = []
    for name, figure in draw_plots(predicted, rows, metric):
        figure.savefig(folder / name)
        assert len(np.unique(image.imread(folder / name))) > 10
        names.append(name)
    return names


def test_a_regressor_has_the_metrics_of_regression_and_the_metric_of_the_gate() -> None:
    predicted = fit(LinearRegression(), DIABETES)

    computed = compute_metrics(predicted, DIABETES, "pinball_0.9")

    assert list(computed) == ["rmse", "mae", "r2", "pinball", "pinball_0.9"]
    assert computed["r2"] == pytest.approx(metrics.r2_score(DIABETES.target, predicted.answers))


def test_the_metrics_count_the_weights_of_the_rows() -> None:
    weights = pd.Series(np.linspace(1, 5, len(IRIS)), index=IRIS.target.index)
    rows = Rows(features=IRIS.features, target=IRIS.target, weights=weights)
    predicted = fit(GaussianNB(), rows)

    computed = compute_metrics(predicted, rows, "f1")

    expected = metrics.accuracy_score(rows.target, predicted.answers, sample_weight=weights)
    assert list(computed) == ["accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss", "brier"]
    assert computed["accuracy"] == pytest.approx(expected)


def test_a_model_without_probabilities_has_the_metrics_of_its_answers_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    predicted = fit(SVC(), IRIS)

    with caplog.at_level(logging.INFO, logger="manta.train"):
        computed = compute_metrics(predicted, IRIS, "f1")

    assert list(computed) == ["accuracy", "balanced_accuracy", "f1"]
    assert "roc_auc is not computed: The metric 'roc_auc' needs probabilities" in caplog.text


def test_rows_of_one_class_have_no_roc_auc_and_no_curves(tmp_path: Path) -> None:
    first_class = IRIS.take(np.arange(40))
    model = GaussianNB().fit(IRIS.features, IRIS.target)
    predicted = predict(model, first_class.features)

    computed = compute_metrics(predicted, first_class, "accuracy")

    assert list(computed) == ["accuracy", "balanced_accuracy", "f1", "log_loss", "brier"]
    assert plot_names(predicted, first_class, "accuracy", tmp_path) == ["confusion_matrix.png"]


def test_rows_without_one_of_the_classes_have_the_curves_of_the_others(tmp_path: Path) -> None:
    two_classes = IRIS.take(np.arange(100))
    predicted = predict(GaussianNB().fit(IRIS.features, IRIS.target), two_classes.features)

    names = plot_names(predicted, two_classes, "roc_auc", tmp_path)

    assert "roc_auc" in compute_metrics(predicted, two_classes, "roc_auc")
    assert names == ["confusion_matrix.png", "roc.png", "calibration.png"]


@pytest.mark.parametrize(
    ("model", "rows", "metric", "expected"),
    [
        (LinearRegression(), DIABETES, "rmse", ["predicted_against_true.png", "residuals.png", "errors.png"]),
        (GaussianNB(), IRIS, "f1", ["confusion_matrix.png", "roc.png", "calibration.png"]),
        (SVC(), IRIS, "f1", ["confusion_matrix.png"]),
    ],
    ids=["regressor", "classifier", "no probabilities"],
)
def test_the_plots_depend_on_what_the_model_predicts(
    tmp_path: Path, model: BaseEstimator, rows: Rows, metric: str, expected: list[str]
) -> None:
    assert plot_names(fit(model, rows), rows, metric, tmp_path) == expected


def test_a_regressor_that_answers_a_constant_can_be_plotted(tmp_path: Path) -> None:
    rows = DIABETES.take(np.arange(3))
    predicted = Predictions(answers=np.full(3, 7.5))

    assert len(plot_names(predicted, rows, "rmse", tmp_path)) == 3


def test_many_classes_have_no_plots() -> None:
    features, target = load_digits(return_X_y=True, as_frame=True)
    rows = Rows(features=features, target=target * 100 + np.arange(len(target)) % 4)
    predicted = fit(GaussianNB(), rows)

    assert list(draw_plots(predicted, rows, "accuracy")) == []
    assert len(compute_metrics(predicted, rows, "accuracy")) == 6


def test_a_model_that_answers_one_class_for_rows_of_one_class_has_no_plots() -> None:
    rows = IRIS.take(np.arange(40))

    assert list(draw_plots(fit(DummyClassifier(), rows), rows, "f1")) == []
    assert list(draw_plots(Predictions(answers=np.zeros(40)), rows, "f1")) == []

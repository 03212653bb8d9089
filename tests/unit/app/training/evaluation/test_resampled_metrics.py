import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from app.training.evaluation import report
from app.training.evaluation.predictions import Predictions
from app.training.evaluation.resampled_metrics import weighted_metric
from app.training.options import METRICS


def predict_most_probable(classes: np.ndarray | None, probabilities: np.ndarray) -> Predictions:
    assert classes is not None
    return Predictions(answers=classes[probabilities.argmax(axis=1)], probabilities=probabilities, classes=classes)


def predictions(class_count: int) -> tuple[Predictions, np.ndarray]:
    """Predictions that are often correct, with many equal probabilities, and the true labels."""
    generator = np.random.default_rng(class_count)
    classes = np.array(["a", "b", "c"][:class_count], dtype=object)
    true_index = generator.integers(class_count, size=200)
    weights = np.round(generator.dirichlet(np.ones(class_count), 200) * 10 + np.eye(class_count)[true_index] * 3) + 0.5
    predicted = predict_most_probable(classes, weights / weights.sum(axis=1, keepdims=True))
    return predicted, classes[true_index]


@pytest.mark.parametrize("class_count", [2, 3])
@pytest.mark.parametrize("metric", METRICS)
def test_a_weighted_metric_equals_the_metric_of_scikit_learn_on_repeated_rows(metric: str, class_count: int) -> None:
    predicted, truth = predictions(class_count)
    weights = np.random.default_rng(0).integers(0, 4, size=200)
    repeated = np.repeat(np.arange(200), weights)

    score = weighted_metric(metric, predicted, truth)

    assert predicted.probabilities is not None
    resampled = predict_most_probable(predicted.classes, predicted.probabilities[repeated])
    expected = report.compute_metrics(predicted, truth)[metric]
    expected_resampled = report.compute_metrics(resampled, truth[repeated])[metric]
    assert score(np.ones(200)) == pytest.approx(expected, abs=1e-12)
    assert score(weights.astype(float)) == pytest.approx(expected_resampled, abs=1e-12)


def test_a_predicted_class_that_the_target_does_not_have_counts_as_wrong() -> None:
    predicted, truth = predictions(3)
    is_known = truth != "c"
    truth = truth[is_known]
    assert predicted.probabilities is not None
    predicted = predict_most_probable(predicted.classes, predicted.probabilities[is_known])

    scores = {metric: weighted_metric(metric, predicted, truth)(np.ones(len(truth))) for metric in METRICS}

    brier = brier_score_loss(truth, predicted.probabilities, labels=predicted.classes, scale_by_half=False)
    assert "c" in predicted.answers
    assert scores["accuracy"] == pytest.approx(accuracy_score(truth, predicted.answers))
    assert scores["log_loss"] == pytest.approx(log_loss(truth, predicted.probabilities, labels=predicted.classes))
    assert scores["brier"] == pytest.approx(brier)
    assert all(0 <= scores[metric] <= 1 for metric in ("balanced_accuracy", "f1", "roc_auc"))

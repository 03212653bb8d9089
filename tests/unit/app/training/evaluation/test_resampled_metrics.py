import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from app.training.evaluation import report
from app.training.evaluation.resampled_metrics import Answers, weighted
from app.training.options import METRICS


def answers_and_truth(classes: int) -> tuple[Answers, np.ndarray]:
    """Answers that are often right, with many equal probabilities."""
    generator = np.random.default_rng(classes)
    labels = np.array(["a", "b", "c"][:classes], dtype=object)
    truth = generator.integers(classes, size=200)
    drawn = np.round(generator.dirichlet(np.ones(classes), 200) * 10 + np.eye(classes)[truth] * 3) + 0.5
    return Answers(classes=labels, probabilities=drawn / drawn.sum(axis=1, keepdims=True)), labels[truth]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("metric", METRICS)
def test_a_weighted_score_is_that_of_scikit_learn_on_the_rows_drawn_as_often(metric: str, classes: int) -> None:
    answers, truth = answers_and_truth(classes)
    weights = np.random.default_rng(0).integers(0, 4, size=200)
    drawn = np.repeat(np.arange(200), weights)

    score = weighted(metric, answers, truth)

    again = Answers(classes=answers.classes, probabilities=answers.probabilities[drawn])
    assert score(np.ones(200)) == pytest.approx(report.metrics(answers, truth)[metric], abs=1e-12)
    assert score(weights.astype(float)) == pytest.approx(report.metrics(again, truth[drawn])[metric], abs=1e-12)


def test_a_class_that_the_rows_do_not_have_counts_as_wrong() -> None:
    answers, truth = answers_and_truth(3)
    rows = truth != "c"
    some, there = Answers(classes=answers.classes, probabilities=answers.probabilities[rows]), truth[rows]

    found = {metric: weighted(metric, some, there)(np.ones(len(there))) for metric in METRICS}

    assert "c" in some.labels
    assert found["accuracy"] == pytest.approx(accuracy_score(there, some.labels))
    assert found["log_loss"] == pytest.approx(log_loss(there, some.probabilities, labels=some.classes))
    expected = brier_score_loss(there, some.probabilities, labels=some.classes, scale_by_half=False)
    assert found["brier"] == pytest.approx(expected)
    assert all(0 <= found[metric] <= 1 for metric in ("balanced_accuracy", "f1", "roc_auc"))

import pytest

from app.errors import ParameterError
from app.training.data.dataset import Task
from app.training.evaluation.metrics import check_margin, check_metric, choose_metric


@pytest.mark.parametrize(
    ("name", "task", "chosen"),
    [
        (None, "classification", "balanced_accuracy"),
        (None, "regression", "rmse"),
        ("log_loss", "classification", "log_loss"),
        ("pinball_0.05", "regression", "pinball_0.05"),
    ],
)
def test_a_metric_is_the_given_one_or_the_default_of_the_task(name: str | None, task: Task, chosen: str) -> None:
    assert choose_metric(name, task) == chosen


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("auc", None, r"no metric 'auc'\. Allowed: accuracy, .*, pinball, and pinball_0\.9"),
        (
            "rmse",
            "classification",
            r"'rmse' is for regression, but the model is for classification\. Allowed: accuracy",
        ),
        ("f1", "regression", r"'f1' is for classification.*Allowed: rmse, mae, r2, pinball\..*drop --metric for rmse"),
        ("pinball_1", "regression", "no quantile level between 0 and 1"),
        ("pinball_", "regression", "no quantile level between 0 and 1"),
        ("pinball_nan", "regression", "no quantile level between 0 and 1"),
    ],
)
def test_a_metric_that_cannot_judge_the_model_is_refused(name: str, task: Task | None, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        check_metric(name, task)


def test_a_metric_of_probabilities_is_refused_for_a_model_without_them() -> None:
    with pytest.raises(ParameterError, match=r"'brier' needs probabilities.*CalibratedClassifierCV"):
        check_metric("brier", "classification", gives_probabilities=False)

    assert check_metric("f1", "classification", gives_probabilities=False).name == "f1"


@pytest.mark.parametrize(
    ("margin", "metric"),
    [(-0.05, "accuracy"), (0.99, "roc_auc"), (-1.9, "brier"), (-5000.0, "rmse"), (3.0, "log_loss")],
)
def test_a_margin_may_be_negative_and_has_the_unit_of_the_metric(margin: float, metric: str) -> None:
    check_margin(margin, metric)


@pytest.mark.parametrize(
    ("margin", "metric", "allowed"),
    [
        (-1, "accuracy", "above -1 and below 1"),
        (5, "balanced_accuracy", "above -1 and below 1"),
        (2, "brier", "above -2 and below 2"),
        (float("nan"), "rmse", "a finite number"),
        (float("-inf"), "mae", "a finite number"),
    ],
)
def test_a_margin_that_every_model_or_no_model_passes_is_refused(margin: float, metric: str, allowed: str) -> None:
    with pytest.raises(ParameterError, match=allowed):
        check_margin(margin, metric)

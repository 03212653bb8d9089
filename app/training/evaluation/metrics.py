"""The metrics of `--metric`: their names, the task of each, and what each needs.

`app.training.evaluation.scores` computes them. The command line imports this module, so it imports no large library.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from app.errors import ParameterError

if TYPE_CHECKING:
    from app.training.data.dataset import Task  # it imports pandas, which takes the command line half a second

PINBALL: Final = "pinball"
"""Name of the pinball loss at the level 0.5. `pinball_0.9` is the loss at the level 0.9."""

Constant = Literal["class shares", "mean", "median", "quantile"]
"""What a model that knows only the target of the training rows answers for every row."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric that the gate and the search can use."""

    name: str
    task: "Task"
    constant: Constant
    """The best constant answer: a first model must be better than that."""
    is_loss: bool = False
    """Whether lower is better."""
    needs_probabilities: bool = False
    averages_classes: bool = False
    """Whether each class counts the same, however few rows it has."""
    largest_difference: float = math.inf
    """The largest possible difference between two models; `inf` if there is none."""
    level: float = 0.5
    """Quantile level of the pinball loss, above 0 and below 1."""

    @property
    def sign(self) -> int:
        """1 if higher is better, -1 if lower is better."""
        return -1 if self.is_loss else 1


_CLASSES: Final = Metric(name="", task="classification", constant="class shares", largest_difference=1)
_NUMBERS: Final = Metric(name="", task="regression", constant="mean", is_loss=True)

METRICS: Final[dict[str, Metric]] = {
    metric.name: metric
    for metric in (
        replace(_CLASSES, name="accuracy"),
        replace(_CLASSES, name="balanced_accuracy", averages_classes=True),
        replace(_CLASSES, name="f1", averages_classes=True),
        replace(_CLASSES, name="roc_auc", averages_classes=True, needs_probabilities=True),
        replace(_CLASSES, name="log_loss", is_loss=True, needs_probabilities=True, largest_difference=math.inf),
        replace(_CLASSES, name="brier", is_loss=True, needs_probabilities=True, largest_difference=2),
        replace(_NUMBERS, name="rmse"),
        replace(_NUMBERS, name="mae", constant="median"),
        replace(_NUMBERS, name="r2", is_loss=False),
        replace(_NUMBERS, name=PINBALL, constant="quantile"),
    )
}
"""The metrics by name. `find_metric` also knows the pinball loss at other levels."""

DEFAULT_METRICS: Final[dict["Task", str]] = {"classification": "balanced_accuracy", "regression": "rmse"}
"""The metric without `--metric`, by task."""


def metric_names(task: "Task | None" = None) -> list[str]:
    """Return the names of the metrics of a task, or of all metrics."""
    return [metric.name for metric in METRICS.values() if task in (None, metric.task)]


def find_metric(name: str) -> Metric:
    """Return the metric of a name; `pinball_LEVEL` is the pinball loss at a quantile level.

    Raises:
        ParameterError: There is no metric of that name, or the level is not between 0 and 1.
    """
    if name in METRICS:
        return METRICS[name]
    prefix, _, level_text = name.rpartition("_")
    if prefix != PINBALL:
        raise ParameterError(
            f"There is no metric {name!r}.",
            allowed=", ".join(metric_names()) + f", and {PINBALL}_0.9 for the pinball loss at the 0.9 quantile",
        )
    try:
        level = float(level_text)
    except ValueError:
        level = math.nan
    if not 0 < level < 1:
        raise ParameterError(
            f"The metric {name!r} has no quantile level between 0 and 1.",
            allowed="a level above 0 and below 1",
            next_step=f"For example: --metric {PINBALL}_0.9",
        )
    return replace(METRICS[PINBALL], name=name, level=level)


def choose_metric(name: str | None, task: "Task") -> str:
    """Return the name of the metric for a task: the one that `--metric` gives, or the default of the task.

    Raises:
        ParameterError: There is no such metric, or it is a metric of the other task.
    """
    if name is None:
        return DEFAULT_METRICS[task]
    check_metric(name, task)
    return name


def check_metric(name: str, task: "Task | None" = None, *, gives_probabilities: bool = True) -> Metric:
    """Check that a metric exists and can judge a model.

    Args:
        name: Name of the metric.
        task: What the model predicts; None if it is not known yet.
        gives_probabilities: Whether the model has `predict_proba`.

    Raises:
        ParameterError: There is no such metric, it is a metric of the other task, or it needs probabilities that the
            model does not give.
    """
    metric = find_metric(name)
    if task not in (None, metric.task):
        raise ParameterError(
            f"The metric {name!r} is for {metric.task}, but the model is for {task}.",
            allowed=", ".join(metric_names(task)),
            next_step=f"Use one of these, or drop --metric for {DEFAULT_METRICS[task]}.",
        )
    if metric.needs_probabilities and not gives_probabilities:
        raise ParameterError(
            f"The metric {name!r} needs probabilities, and the model gives none: it has no predict_proba.",
            allowed=_without_probabilities(metric_names(metric.task)),
            next_step="Use one of these, or wrap the model in scikit-learn's CalibratedClassifierCV.",
        )
    return metric


def check_margin(margin: float, name: str) -> None:
    """Check that a model could pass the margin and could fail it.

    Args:
        margin: Margin of the gate, in units of the metric. Below 0 it is how much worse a model may be.
        name: Name of the metric.

    Raises:
        ParameterError: The margin is not a finite number, or no two models can differ by that much in this metric.
    """
    largest = find_metric(name).largest_difference
    if not math.isfinite(margin) or abs(margin) >= largest:
        limit = "a finite number" if largest == math.inf else f"a number above -{largest:g} and below {largest:g}"
        raise ParameterError(
            f"A margin of {margin:g} is not possible for {name}.",
            allowed=limit,
            next_step="Give the smallest improvement that is worth a new model, or, below 0, how much worse it may be.",
        )


def _without_probabilities(names: Iterable[str]) -> str:
    return ", ".join(name for name in names if not METRICS[name].needs_probabilities)

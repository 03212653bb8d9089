"""What the promotion gate is asked, and what it decides.

`app.training.evaluation.promotion_gate` decides.
"""

from dataclasses import asdict, dataclass

from app.models.version_choice import FAILED
from app.training.data.dataset import Rows
from app.training.evaluation.baseline import Baseline


@dataclass(frozen=True, kw_only=True)
class HeldOutRows:
    """The held-out rows on which the models are compared."""

    rows: Rows
    baseline: Baseline
    """What a model must be better than if there is no champion to compare with."""
    split_description: str
    """Test size and seed of the split. A model with the same description was not trained on these rows."""


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """What a model must achieve to pass."""

    metric: str
    margin: float
    """The lower end of the confidence interval must be above this, in units of the metric. Below 0, the model may be
    worse than the champion, but not by this much."""
    force: bool
    """Whether the model is promoted even if it loses the comparison. The verdict is `forced` then."""


@dataclass(frozen=True, kw_only=True)
class GateDecision:
    """The decision of the gate. A score is None if the models could not be compared."""

    verdict: str
    """`passed`, `failed`, or `forced` if only `force` promotes the model."""
    metric: str
    margin: float
    opponent: str
    challenger_score: float
    opponent_score: float | None = None
    difference: float | None = None
    """How much better the new model is; positive is better, also for a loss."""
    low: float | None = None
    """Lower end of the confidence interval of the difference; None if the rows are too few for an interval."""
    high: float | None = None
    """Upper end of the confidence interval of the difference; None if the rows are too few for an interval."""
    reason: str = ""
    """Explanation for the user, in one or more sentences."""

    @property
    def allows_promotion(self) -> bool:
        """Whether the model may become the champion."""
        return self.verdict != FAILED

    def tags(self) -> dict[str, str]:
        """The decision as tags of a run and of a model version."""
        return {f"gate.{name}": str(value) for name, value in asdict(self).items() if value is not None}

    def metrics(self) -> dict[str, float]:
        """The numbers of the decision as metrics of a run."""
        names = ("challenger_score", "opponent_score", "difference", "low", "high", "margin")
        return {f"gate_{name}": getattr(self, name) for name in names if getattr(self, name) is not None}

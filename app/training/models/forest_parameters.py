"""The parameters of the default forest, and the search space for them.

The command line imports this module, so it imports no large library. `app.training.models.forest` fits the forest.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.training.models.parameters import Parameter, Parameters
from app.training.models.search_space import Range, SearchSpace

Criterion = Literal["gini", "entropy", "log_loss", "squared_error", "absolute_error", "poisson"]
ClassWeight = Literal["balanced", "balanced_subsample"]


class _ForestParameters(BaseModel):
    """Parameters of both kinds of forest, with scikit-learn's names and defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_estimators: Annotated[int, Field(ge=1, le=10_000)] = 100
    max_depth: Annotated[int, Field(ge=1, le=1_000)] | None = None
    min_samples_leaf: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    max_samples: Annotated[float, Field(gt=0, le=1)] | None = None


class ClassifierParameters(_ForestParameters):
    """Parameters of scikit-learn's `RandomForestClassifier`, with its names and defaults."""

    max_features: Annotated[float, Field(gt=0, le=1)] | Literal["sqrt", "log2"] = "sqrt"
    criterion: Literal["gini", "entropy", "log_loss"] = "gini"
    class_weight: ClassWeight | None = None


class RegressorParameters(_ForestParameters):
    """Parameters of scikit-learn's `RandomForestRegressor`, with its names and defaults."""

    max_features: Annotated[float, Field(gt=0, le=1)] | Literal["sqrt", "log2"] = 1.0
    criterion: Literal["squared_error", "absolute_error", "poisson"] = "squared_error"


_COMMON_SPACE: Final[SearchSpace] = {
    "max_features": Range(low=0.05, high=1.0, log=True),
    "min_samples_leaf": Range(low=1, high=20, log=True),
    "max_samples": Range(low=0.3, high=1.0),
}

SPACES: Final[Mapping[str, SearchSpace]] = {
    "classification": _COMMON_SPACE | {"criterion": ["gini", "entropy"], "class_weight": [None, "balanced"]},
    "regression": _COMMON_SPACE,
}
"""Search spaces of `--trials` without `--space`. They do not contain the number of trees, because more trees are never
worse in expectation, nor the depth, because `min_samples_leaf` limits it."""

LABELS: Final[Mapping[str, str]] = {"classification": "A forest", "regression": "A forest for numbers"}
"""Names of the forests in messages, by task."""


def forest_parameters(task: str) -> Parameters:
    """Return the parameters of a forest.

    Args:
        task: `classification` or `regression`.
    """
    fields = (ClassifierParameters if task == "classification" else RegressorParameters).model_fields
    return Parameters(
        LABELS[task],
        [
            Parameter(name=name, annotation=info.rebuild_annotation(), default=info.default)
            for name, info in fields.items()
        ],
    )

"""The parameters of a random forest, and the search space for them.

`app.training.search.tuner` searches the space.
"""

import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.errors import ParameterError

Criterion = Literal["gini", "entropy", "log_loss"]
ClassWeight = Literal["balanced", "balanced_subsample"]


class ForestParameters(BaseModel):
    """Parameters of scikit-learn's `RandomForestClassifier`, with its names and defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_estimators: Annotated[int, Field(ge=1, le=10_000)] = 100
    max_depth: Annotated[int, Field(ge=1, le=1_000)] | None = None
    max_features: Annotated[float, Field(gt=0, le=1)] | Literal["sqrt", "log2"] = "sqrt"
    min_samples_leaf: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    criterion: Criterion = "gini"
    class_weight: ClassWeight | None = None
    max_samples: Annotated[float, Field(gt=0, le=1)] | None = None


class Range(BaseModel):
    """An inclusive range of numbers; integers if the parameter is an integer."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: int | float
    high: int | float
    log: bool = False
    """Whether values are sampled on a logarithmic scale."""


ParameterValues = dict[str, Any]
"""Parameters by name. The type of a value depends on the parameter: an integer, a float, a string or None."""

Domain = Range | list[Any]
"""A range or a list of choices for one parameter; `ForestParameters` checks the type of each choice."""

SearchSpace = dict[str, Domain]
"""The domain of each parameter, by name."""

DEFAULT_SPACE: Final[SearchSpace] = {
    "max_features": Range(low=0.05, high=1.0, log=True),
    "min_samples_leaf": Range(low=1, high=20, log=True),
    "criterion": ["gini", "entropy"],
    "class_weight": [None, "balanced"],
    "max_samples": Range(low=0.3, high=1.0),
}
"""Search space of `--trials` without `--space`. It does not contain the number of trees, because more trees are never
worse in expectation, nor the depth, because `min_samples_leaf` limits it."""

EXAMPLE_SPACE: Final = '{"max_depth": {"low": 4, "high": 40, "log": true}, "criterion": ["gini", "entropy"]}'

_SPACE_ADAPTER: Final[TypeAdapter[SearchSpace]] = TypeAdapter(SearchSpace)


def parse_space(text: str | None) -> SearchSpace:
    """Parse a search space from JSON; None gives the default space.

    Raises:
        ParameterError: The text is not a valid search space, names an unknown parameter, or contains values that a
            forest does not accept.
    """
    if text is None:
        return DEFAULT_SPACE
    try:
        space = _SPACE_ADAPTER.validate_python(json.loads(text))
    except (json.JSONDecodeError, ValidationError) as error:
        raise ParameterError(
            f"The search space {text!r} cannot be read.",
            allowed="a JSON object that gives each parameter a range or a list of choices",
            next_step=f"For example: --space '{EXAMPLE_SPACE}'",
        ) from error
    if not space:
        raise ParameterError("The search space is empty.", next_step=f"For example: --space '{EXAMPLE_SPACE}'")
    for name, domain in space.items():
        _check_domain(name, domain)
    return space


def is_integer(name: str) -> bool:
    """Whether a parameter takes integers."""
    return name in {"n_estimators", "max_depth", "min_samples_leaf"}


def default_point(space: SearchSpace, *, feature_count: int) -> ParameterValues | None:
    """Return scikit-learn's default parameters as a point of the space; None if the space does not contain them.

    Args:
        space: The search space.
        feature_count: Number of features; the default of `max_features` is its square root.
    """
    # The space has numbers where scikit-learn's defaults are "sqrt" and None.
    defaults = ForestParameters().model_dump() | {
        "max_features": feature_count**0.5 / feature_count,
        "max_samples": 1.0,
    }
    point = {name: defaults[name] for name in space}
    return point if all(_contains(domain, point[name]) for name, domain in space.items()) else None


def _contains(domain: Domain, value: Any) -> bool:  # noqa: ANN401 - a parameter's value
    if isinstance(domain, list):
        return value in domain
    return value is not None and domain.low <= value <= domain.high


def _check_domain(name: str, domain: Domain) -> None:
    """Check that a domain can be sampled and that a forest accepts its values.

    Raises:
        ParameterError: The domain cannot be sampled, or a forest refuses a value.
    """
    if name not in ForestParameters.model_fields:
        raise ParameterError(f"A forest has no parameter {name!r}.", allowed=", ".join(ForestParameters.model_fields))
    fault = _domain_fault(name, domain)
    if fault:
        raise ParameterError(
            f"The search space of {name} {fault}.", next_step=f"For example: --space '{EXAMPLE_SPACE}'"
        )
    values = domain if isinstance(domain, list) else [domain.low, domain.high]
    for value in values:
        try:
            ForestParameters.model_validate({name: value})
        except ValidationError as error:
            message = error.errors(include_url=False)[-1]["msg"]
            raise ParameterError(
                f"The search space of {name} contains {value!r}, which a forest does not accept: {message}."
            ) from error


def _domain_fault(name: str, domain: Domain) -> str:
    """Why a domain cannot be sampled; empty if it can."""
    if isinstance(domain, list):
        return "is an empty list" if not domain else ""
    if domain.low >= domain.high:
        return f"is empty: {domain.low} is not below {domain.high}"
    if name in {"criterion", "class_weight"}:
        return "is a range, but the parameter takes one of a list of words"
    if is_integer(name) and (domain.low % 1 or domain.high % 1):
        return "has bounds that are not integers"
    if domain.log and domain.low <= 0:
        return "is logarithmic, but starts at or below 0"
    return ""

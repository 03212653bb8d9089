"""The parameters of a forest, and the space that a search takes them from.

What a search does with the space is decided in `app.training.search.tuner`.
"""

import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.errors import ParameterError

Criterion = Literal["gini", "entropy", "log_loss"]
ClassWeight = Literal["balanced", "balanced_subsample"]


class Forest(BaseModel):
    """Parameters of scikit-learn's `RandomForestClassifier`, by its own names and with its defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_estimators: Annotated[int, Field(ge=1, le=10_000)] = 100
    max_depth: Annotated[int, Field(ge=1, le=1_000)] | None = None
    max_features: Annotated[float, Field(gt=0, le=1)] | Literal["sqrt", "log2"] = "sqrt"
    min_samples_leaf: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    criterion: Criterion = "gini"
    class_weight: ClassWeight | None = None
    max_samples: Annotated[float, Field(gt=0, le=1)] | None = None


class Range(BaseModel):
    """Numbers from `low` to `high`, both among them; whole ones where the parameter is a whole number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: int | float
    high: int | float
    log: bool = False
    """Whether small numbers are tried as often as large ones."""


Space = dict[str, Range | list[Any]]
"""By name of a parameter: a range, or a list of values to choose from."""

DEFAULT_SPACE: Final[Space] = {
    "max_features": Range(low=0.05, high=1.0, log=True),
    "min_samples_leaf": Range(low=1, high=20, log=True),
    "criterion": ["gini", "entropy"],
    "class_weight": [None, "balanced"],
    "max_samples": Range(low=0.3, high=1.0),
}
"""What `--trials` searches unless `--space` says otherwise. The number of trees is not in it: more are never worse. Nor
is the depth: the rows of a leaf bound it."""

EXAMPLE: Final = '{"max_depth": {"low": 4, "high": 40, "log": true}, "criterion": ["gini", "entropy"]}'

_SPACE: Final[TypeAdapter[Space]] = TypeAdapter(Space)


def parse_space(text: str | None) -> Space:
    """Read a space from JSON; None gives the default one.

    Raises:
        ParameterError: It is not of the form, names a parameter that a forest does not have, or holds values that
            cannot be sampled.
    """
    if text is None:
        return DEFAULT_SPACE
    try:
        space = _SPACE.validate_python(json.loads(text))
    except (json.JSONDecodeError, ValidationError) as error:
        raise ParameterError(
            f"The space {text!r} cannot be read.",
            allowed="a JSON object that gives each parameter a range or a list of choices",
            next_step=f"For example: --space '{EXAMPLE}'",
        ) from error
    if not space:
        raise ParameterError("The space is empty.", next_step=f"For example: --space '{EXAMPLE}'")
    for name, domain in space.items():
        _check_domain(name, domain)
    return space


def is_whole(name: str) -> bool:
    """Whether a parameter is a whole number."""
    return name in {"n_estimators", "max_depth", "min_samples_leaf"}


def defaults_in(space: Space, *, columns: int) -> dict[str, Any] | None:
    """scikit-learn's own parameters as a point of the space; None where the space does not hold them.

    Args:
        space: The space.
        columns: Features of the data, whose square root is the default of `max_features`.
    """
    plain = Forest().model_dump() | {"max_features": columns**0.5 / columns, "max_samples": 1.0}
    point = {name: plain[name] for name in space}
    return point if all(_holds(domain, point[name]) for name, domain in space.items()) else None


def _holds(domain: Range | list[Any], value: Any) -> bool:  # noqa: ANN401 - a parameter's value
    if isinstance(domain, list):
        return value in domain
    return value is not None and domain.low <= value <= domain.high


def _check_domain(name: str, domain: Range | list[Any]) -> None:
    """Refuse what cannot be sampled, and values that a forest does not take."""
    if name not in Forest.model_fields:
        raise ParameterError(f"A forest has no parameter {name!r}.", allowed=", ".join(Forest.model_fields))
    if isinstance(domain, list):
        values: list[Any] = domain
        fault = "is an empty list" if not domain else ""
    else:
        values = [domain.low, domain.high]
        is_wrong_log = domain.log and domain.low <= 0
        fault = "is logarithmic and starts at or below 0" if is_wrong_log else ""
        if domain.low >= domain.high:
            fault = f"is empty: {domain.low} is not below {domain.high}"
        elif name in {"criterion", "class_weight"}:
            fault = "is a range, and its values are words"
        elif is_whole(name) and any(value % 1 for value in values):
            fault = "has bounds that are no whole numbers"
    if fault:
        raise ParameterError(
            f"The space of {name} {fault}, so that it cannot be sampled.", next_step=f"For example: --space '{EXAMPLE}'"
        )
    for value in values:
        try:
            Forest.model_validate({name: value})
        except ValidationError as error:
            said = error.errors(include_url=False)[-1]["msg"]
            raise ParameterError(
                f"The space of {name} holds {value!r}, which a forest does not take: {said}."
            ) from error

"""The search space: which values of which parameters a search tries.

`app.training.search.tuner` searches the space. `app.training.models.parameters` checks single values.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Strict, TypeAdapter, ValidationError

from app.errors import ParameterError
from app.training.models.parameters import Parameters, ParameterValues


class Range(BaseModel):
    """An inclusive range of numbers; integers if the parameter is an integer."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: int | float
    high: int | float
    log: bool = False
    """Whether values are sampled on a logarithmic scale."""


Choices = Annotated[list[str | int | float | bool | None], Strict()]
"""Choices of one parameter. Optuna and MLflow store these types only."""

Domain = Range | Choices
"""A range or a list of choices for one parameter; `Parameters` checks the type of each value."""

SearchSpace = dict[str, Domain]
"""The domain of each parameter, by name."""

EXAMPLE_SPACE: Final = '{"max_depth": {"low": 4, "high": 40, "log": true}, "criterion": ["gini", "entropy"]}'

_NEXT_STEP: Final = f"For example: --space '{EXAMPLE_SPACE}'"

_SPACE_ADAPTER: Final[TypeAdapter[SearchSpace]] = TypeAdapter(SearchSpace)


def parse_space(text: str) -> SearchSpace:
    """Read a search space from JSON, without a check against a model's parameters.

    Raises:
        ParameterError: The text is not a valid search space.
    """
    try:
        return read_space(json.loads(text), source=repr(text))
    except json.JSONDecodeError as error:
        raise _unreadable(repr(text)) from error


def read_space(value: object, *, source: str) -> SearchSpace:
    """Read a search space from a dictionary.

    Args:
        value: Each parameter's range or choices, by name.
        source: Where the space comes from, for error messages.

    Raises:
        ParameterError: The value is not a valid search space.
    """
    try:
        space = _SPACE_ADAPTER.validate_python(value)
    except ValidationError as error:
        raise _unreadable(source) from error
    if not space:
        raise ParameterError("The search space is empty.", next_step=_NEXT_STEP)
    for name, domain in space.items():
        fault = _domain_fault(domain)
        if fault:
            raise ParameterError(f"The search space of {name} {fault}.", next_step=_NEXT_STEP)
    return space


def check_space(space: SearchSpace, parameters: Parameters) -> None:
    """Check that a model has the parameters of a search space and accepts the values.

    Raises:
        ParameterError: A parameter does not exist, or does not accept a value.
    """
    for name, domain in space.items():
        parameter = parameters[name]
        for value in domain if isinstance(domain, list) else [domain.low, domain.high]:
            fault = parameter.fault(_whole(value))
            if fault:
                raise ParameterError(
                    f"The search space of {name} contains {value!r}, which {parameters.owner} does not accept: {fault}."
                )


def is_integer(name: str, domain: Range, parameters: Parameters) -> bool:
    """Whether a search tries only whole numbers of a range: the parameter's type accepts no fractions.

    A parameter of any type gets whole numbers if both bounds are whole.
    """
    if domain.low % 1 or domain.high % 1:
        return False
    parameter = parameters[name]
    return parameter.annotation is Any or not parameter.accepts(domain.low + 0.5)


def contains(space: SearchSpace, point: Mapping[str, object]) -> bool:
    """Whether a point has a value inside the domain of every parameter of a space."""
    return all(name in point and _contains(domain, point[name]) for name, domain in space.items())


def first_point(space: SearchSpace) -> ParameterValues:
    """Return one point of a space: the first choices and the lower ends of the ranges."""
    return {name: domain[0] if isinstance(domain, list) else _whole(domain.low) for name, domain in space.items()}


def _contains(domain: Domain, value: object) -> bool:
    if isinstance(domain, list):
        return value in domain
    return isinstance(value, int | float) and domain.low <= value <= domain.high


def _domain_fault(domain: Domain) -> str:
    """Why a domain cannot be sampled; empty if it can."""
    if isinstance(domain, list):
        return "is an empty list" if not domain else ""
    if domain.low >= domain.high:
        return f"is empty: {domain.low} is not below {domain.high}"
    if domain.log and domain.low <= 0:
        return "is logarithmic, but starts at or below 0"
    return ""


def _whole(value: Any) -> Any:  # noqa: ANN401 - a parameter's value
    """Return a float without a fraction as an integer, because JSON and users write both."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _unreadable(source: str) -> ParameterError:
    return ParameterError(
        f"The search space {source} cannot be read.",
        allowed="an object that gives each parameter a range or a list of choices: texts, numbers, booleans or null",
        next_step=_NEXT_STEP,
    )

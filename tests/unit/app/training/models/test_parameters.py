from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from app.errors import ParameterError
from app.training.models.parameters import Parameters, parse_assignments


def build(  # type: ignore[no-untyped-def] # two parameters have no type on purpose
    depth: int | None = 5,
    rate: float = 0.1,
    criterion: Literal["gini", "entropy"] = "gini",
    layers: tuple[int, ...] = (100,),
    leaf: Annotated[int, Field(ge=1)] = 1,
    word: str = "a",
    *,
    warm: bool = False,
    untyped=3,  # noqa: ANN001 - the default decides the type
    anything=None,  # noqa: ANN001 - no type at all
    random_state: int | None = None,
) -> None:
    """A function whose signature has every kind of parameter."""


def need(depth: int) -> None:
    """A function with a parameter that has no default."""


def take_all(**params: object) -> None:
    """A function that takes every name."""


PARAMETERS = Parameters.of_function(build, owner="model.py:build")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("depth", "7", 7),
        ("depth", "None", None),
        ("depth", "null", None),
        ("rate", "1e-3", 0.001),
        ("rate", "2", 2),
        ("criterion", "entropy", "entropy"),
        ("layers", "[50, 20]", (50, 20)),
        ("word", "12", "12"),
        ("word", "two words", "two words"),
        ("warm", "True", True),
        ("warm", "false", False),
        ("untyped", "8", 8),
        ("anything", '{"a": 1}', {"a": 1}),
        ("anything", "text", "text"),
    ],
)
def test_a_text_becomes_a_value_of_the_parameters_type(name: str, text: str, value: Any) -> None:  # noqa: ANN401 - any value
    parsed = PARAMETERS[name].parse(text)

    assert parsed == value
    assert type(parsed) is type(value) or name == "rate"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("depth", "1.5", "'depth' cannot be '1.5': Input should be a valid integer"),
        ("depth", "deep", "Allowed: int | None"),
        ("rate", "fast", "should be a valid number. Allowed: float"),
        ("criterion", "log", "Input should be 'gini' or 'entropy'"),
        ("leaf", "0", "greater than or equal to 1"),
        ("warm", "yes", "valid boolean"),
        ("untyped", "a", "valid integer"),
        ("tree_depth", "5", "model.py:build has no parameter 'tree_depth'. Allowed: depth, rate"),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, text: str, message: str) -> None:
    with pytest.raises(ParameterError) as error:
        PARAMETERS[name].parse(text)

    assert message in str(error.value)


def test_values_are_completed_with_defaults_and_the_seed_of_the_run() -> None:
    values = PARAMETERS.complete({"depth": 2}, seed=42)

    assert (values["depth"], values["rate"], values["random_state"]) == (2, 0.1, 42)


def test_a_parameter_without_default_and_value_is_named() -> None:
    with pytest.raises(ParameterError, match=r"without a value: depth.*--set depth=VALUE"):
        Parameters.of_function(need, owner="model.py:need").complete({}, seed=1)


def test_a_function_with_any_parameters_takes_every_name() -> None:
    assert Parameters.of_function(take_all, owner="model.py:build")["c"].parse("0.5") == 0.5


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["depth"], "--set 'depth' cannot be read. Allowed: NAME=VALUE"),
        (["=5"], "cannot be read"),
        (["max depth=5"], "cannot be read"),
        (["depth=5", "depth=6"], "--set gives 'depth' twice"),
    ],
)
def test_an_assignment_that_cannot_be_read_is_refused(assignments: list[str], message: str) -> None:
    with pytest.raises(ParameterError) as error:
        parse_assignments(assignments)

    assert message in str(error.value)


def test_a_value_may_hold_an_equals_sign() -> None:
    assert parse_assignments(["pattern=a=b"]) == {"pattern": "a=b"}

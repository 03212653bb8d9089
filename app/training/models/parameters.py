"""The parameters of a model: their names, types and defaults, and the check of values for them.

`app.training.models.search_space` defines which values a search tries.
"""

import inspect
import json
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from app.errors import ParameterError

ParameterValues = dict[str, Any]
"""Parameters by name. The type of a value depends on the parameter: an integer, a float, a string or None."""

REQUIRED: Final = inspect.Parameter.empty
"""Default of a parameter that has none."""

SEED_PARAMETERS: Final = ("random_state", "seed")
"""Parameters that get the seed of the run if their default is None."""

PYTHON_WORDS: Final = {"None": "null", "True": "true", "False": "false"}
"""Python's words for values, and JSON's."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a model."""

    name: str
    annotation: Any
    """Type of the values, for pydantic."""
    default: Any = REQUIRED

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        try:
            return TypeAdapter(self.annotation)
        except (PydanticSchemaGenerationError, PydanticUserError, NameError) as error:
            raise ParameterError(
                f"The type of the parameter {self.name!r} cannot be used: {self.annotation!r}.",
                allowed="int, float, bool, str, Literal, None, and unions, lists and tuples of these",
                next_step="Change the annotation.",
            ) from error

    def accepts(self, value: object) -> bool:
        """Whether a value has the parameter's type."""
        return not self.fault(value)

    def fault(self, value: object) -> str:
        """Why a value is not accepted; empty if it is."""
        try:
            self._adapter.validate_python(value, strict=True)
        except ValidationError as error:
            return " or ".join(dict.fromkeys(fault["msg"] for fault in error.errors(include_url=False)))
        return ""

    def parse(self, text: str) -> Any:  # noqa: ANN401 - a parameter's value
        """Read a value from a command line: JSON or a word of Python where the type accepts it, else the text itself.

        Raises:
            ParameterError: The type does not accept the text.
        """
        try:
            return self._adapter.validate_json(PYTHON_WORDS.get(text, text), strict=True)
        except ValidationError as json_error:
            try:
                return self._adapter.validate_python(text, strict=True)
            except ValidationError as error:
                is_json = json_error.errors(include_url=False)[0]["type"] != "json_invalid"
                faults = (json_error if is_json else error).errors(include_url=False)
                raise ParameterError(
                    f"The parameter {self.name!r} cannot be {text!r}: "
                    f"{' or '.join(dict.fromkeys(fault['msg'] for fault in faults))}.",
                    allowed=describe_type(self.annotation),
                    next_step=f"For example: --set {self.name}=VALUE",
                ) from error


class Parameters:
    """All parameters of a model.

    Args:
        owner: The model in error messages, such as `model.py:build`.
        parameters: Its parameters.
        takes_any: Whether the model takes parameters of other names too.
    """

    def __init__(self, owner: str, parameters: Iterable[Parameter], *, takes_any: bool = False) -> None:
        self.owner = owner
        self.takes_any = takes_any
        self._by_name = {parameter.name: parameter for parameter in parameters}

    @classmethod
    def of_function(cls, function: Callable[..., object], *, owner: str, skip: Iterable[str] = ()) -> "Parameters":
        """Read the parameters from a signature. Without an annotation, the default's type is the parameter's type.

        Args:
            function: A function, or a class.
            owner: The function in error messages.
            skip: Names of parameters that are no parameters of the model.
        """
        signature = inspect.signature(function)
        hints = _type_hints(function)
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        named = [entry for entry in signature.parameters.values() if entry.kind not in kinds and entry.name not in skip]
        return cls(
            owner,
            [
                Parameter(
                    name=entry.name, annotation=hints.get(entry.name, _type_of(entry.default)), default=entry.default
                )
                for entry in named
            ],
            takes_any=any(entry.kind == inspect.Parameter.VAR_KEYWORD for entry in signature.parameters.values()),
        )

    @property
    def names(self) -> list[str]:
        """Names of the parameters, in the order of the signature."""
        return list(self._by_name)

    @property
    def defaults(self) -> ParameterValues:
        """The default of each parameter that has one."""
        return {name: entry.default for name, entry in self._by_name.items() if entry.default is not REQUIRED}

    def __getitem__(self, name: str) -> Parameter:
        """Look up a parameter.

        Raises:
            ParameterError: The model has no such parameter.
        """
        if name not in self._by_name:
            if self.takes_any:
                return Parameter(name=name, annotation=Any)
            raise ParameterError(
                f"{self.owner} has no parameter {name!r}.",
                allowed=", ".join(self.names) or "none: the function has no parameters",
            )
        return self._by_name[name]

    def complete(self, values: Mapping[str, object], *, seed: int) -> ParameterValues:
        """Return the values of all parameters: those given, the seed, and the defaults of all others.

        Raises:
            ParameterError: A parameter has neither a value nor a default.
        """
        seeds = {name: seed for name in SEED_PARAMETERS if self.defaults.get(name, seed) is None}
        complete = self.defaults | seeds | dict(values)
        missing = [name for name in self.names if name not in complete]
        if missing:
            raise ParameterError(
                f"{self.owner} has parameters without a value: {', '.join(missing)}.",
                next_step=f"Give them defaults, or values: --set {missing[0]}=VALUE",
            )
        return complete


def parse_assignments(assignments: Iterable[str]) -> dict[str, str]:
    """Split the values of `--set`, such as `max_depth=5`, into names and texts.

    Raises:
        ParameterError: A value has no name or no `=`, or a name occurs twice.
    """
    values: dict[str, str] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ParameterError(
                f"--set {assignment!r} cannot be read.",
                allowed="NAME=VALUE",
                next_step="For example: --set max_depth=5",
            )
        if name.strip() in values:
            raise ParameterError(f"--set gives {name.strip()!r} twice.", next_step="Drop one of the two.")
        values[name.strip()] = text.strip()
    return values


def describe_type(annotation: object) -> str:
    """Return a type as its user wrote it, such as `int | None`."""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def to_json(values: Mapping[str, object]) -> str:
    """Return parameters as JSON."""
    return json.dumps(values, default=str)


def _type_hints(function: Callable[..., object]) -> dict[str, Any]:
    annotated = function.__init__ if inspect.isclass(function) else function
    try:
        return typing.get_type_hints(annotated, include_extras=True)
    except (NameError, TypeError):  # a name that is imported for type checkers only, or no function
        return dict(getattr(annotated, "__annotations__", {}))


def _type_of(default: object) -> Any:  # noqa: ANN401 - a type, or `Any`
    return Any if default is None or default is REQUIRED else type(default)

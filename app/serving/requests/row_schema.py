"""The columns of a model as the readers of request bodies need them.

The process that reads large bodies imports this module, so it imports neither MLflow nor pandas.
"""

from enum import StrEnum
from functools import cached_property
from typing import Final

import msgspec


class ValueKind(StrEnum):
    """What a column accepts."""

    NUMBER = "number"
    WHOLE_NUMBER = "whole number"
    BOOLEAN = "boolean"
    TEXT = "text"


ALLOWED_VALUES: Final = {
    ValueKind.NUMBER: "a finite number within float32",
    ValueKind.WHOLE_NUMBER: "a whole number",
    ValueKind.BOOLEAN: "true or false",
    ValueKind.TEXT: "text",
}
"""The values of each kind, for error messages."""


class RowSchema(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Names and kinds of a model's columns, in the order of the values in a row."""

    names: tuple[str, ...]
    kinds: tuple[ValueKind, ...]

    @cached_property
    def width(self) -> int:
        """Number of columns."""
        return len(self.names)

    @cached_property
    def holds_text(self) -> bool:
        """Whether at least one column holds text."""
        return ValueKind.TEXT in self.kinds

    @cached_property
    def holds_numbers_only(self) -> bool:
        """Whether every column holds numbers, whole or not."""
        return set(self.kinds) <= {ValueKind.NUMBER, ValueKind.WHOLE_NUMBER}

    @cached_property
    def accepts_any_number(self) -> bool:
        """Whether every column accepts any finite number within float32."""
        return set(self.kinds) == {ValueKind.NUMBER}

    @cached_property
    def name_set(self) -> frozenset[str]:
        """The names of the columns."""
        return frozenset(self.names)

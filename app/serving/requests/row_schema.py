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
    DATE = "date"


ALLOWED_VALUES: Final = {
    ValueKind.NUMBER: "a finite number within float32",
    ValueKind.WHOLE_NUMBER: "a whole number",
    ValueKind.BOOLEAN: "true or false",
    ValueKind.TEXT: "text",
    ValueKind.DATE: "a date, or date and time, in ISO 8601 without a time zone",
}
"""The values of each kind, for error messages."""


class RowSchema(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Names and kinds of a model's columns, in the order of the values in a row."""

    names: tuple[str, ...]
    kinds: tuple[ValueKind, ...]
    optional: frozenset[int] = frozenset()
    """Indices of the columns in which a row may lack a value."""

    @cached_property
    def width(self) -> int:
        """Number of columns."""
        return len(self.names)

    @cached_property
    def holds_text(self) -> bool:
        """Whether at least one column holds text, or dates, which are written as text."""
        return not {ValueKind.TEXT, ValueKind.DATE}.isdisjoint(self.kinds)

    @cached_property
    def holds_numbers_only(self) -> bool:
        """Whether every column holds numbers, whole or not."""
        return set(self.kinds) <= {ValueKind.NUMBER, ValueKind.WHOLE_NUMBER}

    @cached_property
    def accepts_any_number(self) -> bool:
        """Whether every column accepts any finite number within float32."""
        return set(self.kinds) == {ValueKind.NUMBER}

    @cached_property
    def accepts_any_decoded_number(self) -> bool:
        """Whether a JSON body with numbers within float32, and null if a column is optional, needs no other check."""
        return self.accepts_any_number and len(self.optional) in (0, self.width)

    @cached_property
    def optional_names(self) -> frozenset[str]:
        """The names of the optional columns."""
        return frozenset(self.names[index] for index in self.optional)

    @cached_property
    def is_optional(self) -> tuple[bool, ...]:
        """For each column whether it is optional."""
        return tuple(index in self.optional for index in range(self.width))

    def allowed_value(self, index: int) -> str:
        """Describe the values that a column accepts."""
        return ALLOWED_VALUES[self.kinds[index]] + (", or null" if index in self.optional else "")

    @cached_property
    def name_set(self) -> frozenset[str]:
        """The names of the columns."""
        return frozenset(self.names)

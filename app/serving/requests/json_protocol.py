"""The messages between a replica and the processes that read its large bodies."""

import struct
from enum import IntEnum
from typing import Any, Final

import msgspec

from app.errors import FeaturesError, InvalidBodyError, MantaError, TooLargeError

REQUEST: Final = struct.Struct("<BQQQQ")
"""Head of a request: the body's form, the bytes of its JSON head, bytes of the schema, maximum number of rows, bytes of
the body. Schema and body follow."""

ANSWER: Final = struct.Struct("<BQQ")
"""Head of an answer, or of a block of rows: its kind, and two numbers that depend on the kind."""

ROWS_OF_BLOCK: Final = 100
"""Rows of one block of mixed values. Decoding a block holds Python's lock for about a millisecond."""

ERROR_CLASSES: Final = {error.__name__: error for error in (FeaturesError, InvalidBodyError, TooLargeError)}
"""The errors of a body."""


class AnswerKind(IntEnum):
    """What follows the head of an answer."""

    ERROR = 0
    """The parts of an error. First number: its bytes."""
    NUMBERS = 1
    """A matrix of float64. The numbers are its rows and columns."""
    MIXED = 2
    """Blocks of rows with values of several types, each with a head of its own. The numbers are rows and columns; in
    the head of a block, the first number is its bytes."""


class ErrorParts(msgspec.Struct, frozen=True, kw_only=True):
    """An error that travels between processes."""

    name: str
    detail: str
    allowed: str
    next_step: str
    extra: dict[str, Any]  # members of a problem document may have any JSON type

    @classmethod
    def of(cls, error: MantaError) -> "ErrorParts":
        """Take an error apart."""
        return cls(
            name=type(error).__name__,
            detail=error.detail,
            allowed=error.allowed,
            next_step=error.next_step,
            extra=error.extra,
        )

    def error(self) -> MantaError:
        """Build the error again."""
        return ERROR_CLASSES[self.name](self.detail, allowed=self.allowed, next_step=self.next_step, **self.extra)

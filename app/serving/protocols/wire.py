"""What a protocol decides about a prediction: how the rows are read, and how the answers are written.

`app.serving.predict` runs the model in between, in the same way for every protocol.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from app.models.answers import Answers
from app.serving.loading.served_model import ServedModel
from app.serving.requests.body_forms import BodyForm
from app.serving.requests.row_schema import RowSchema


class ReadRows(Protocol):
    """Converts a body to a matrix."""

    def __call__(self, body: bytes | bytearray, *, schema: RowSchema, max_rows: int) -> np.ndarray:
        """See `app.serving.requests.body_forms.read`."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request: how its body is read and how it is answered."""

    form: BodyForm | None
    """The form in which a process reads a large body; None if a thread reads it, because numpy does the work."""
    read: ReadRows
    """Reads a small body, and a large one in a thread."""
    write: Callable[[Answers, ServedModel], Response]
    """Writes the answers of a version."""


@dataclass(frozen=True, kw_only=True)
class Wire:
    """A protocol."""

    content_types: tuple[str, ...]
    """Content types of bodies."""
    begin: Callable[[Request, bytes | bytearray, str, ServedModel], Exchange]
    """Decides from a request, its body, its content type and the version how to read and to answer the request."""

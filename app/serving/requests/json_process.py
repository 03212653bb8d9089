"""The process that reads large bodies for a replica, so that the replica's event loop does not wait for them.

`app.serving.requests.json_readers` starts it and describes the messages. It ends with its input, so it never outlives
the replica.
"""

import gc
import os
import resource
import sys
from typing import BinaryIO, Final

import msgspec
import numpy as np

from app.errors import MantaError
from app.serving.requests import body_forms
from app.serving.requests.body_forms import BodyForm, Form
from app.serving.requests.json_protocol import ANSWER, REQUEST, ROWS_OF_BLOCK, AnswerKind, ErrorParts
from app.serving.requests.row_schema import RowSchema

NICENESS: Final = 5
"""Added to the niceness of the replica: predictions come first."""

MAX_DATA_BYTES: Final = 1024**3
"""Memory of this process. The largest valid body needs a third of it."""


def main() -> None:
    """Read bodies from the standard input until it ends."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_DATA_BYTES, MAX_DATA_BYTES))
    gc.disable()  # millions of lists without cycles
    bodies, answers = sys.stdin.buffer, sys.stdout.buffer
    schema_decoder = msgspec.msgpack.Decoder(RowSchema)
    while len(head := bodies.read(REQUEST.size)) == REQUEST.size:
        form, head_bytes, schema_size, max_rows, body_size = REQUEST.unpack(head)
        schema = schema_decoder.decode(bodies.read(schema_size))
        body = bodies.read(body_size)
        try:
            matrix = body_forms.read(BodyForm(Form(form), head_bytes), body, schema=schema, max_rows=max_rows)
        except MantaError as error:
            content = msgspec.msgpack.encode(ErrorParts.of(error))
            answers.write(ANSWER.pack(AnswerKind.ERROR, len(content), 0) + content)
        else:
            _write(answers, matrix)
        answers.flush()


def _write(answers: BinaryIO, matrix: np.ndarray) -> None:
    """Write a matrix: numbers as they lie in memory, other values in blocks of rows."""
    if matrix.dtype != object:
        answers.write(ANSWER.pack(AnswerKind.NUMBERS, *matrix.shape))
        answers.write(matrix.data)
        return
    answers.write(ANSWER.pack(AnswerKind.MIXED, *matrix.shape))
    for start in range(0, len(matrix), ROWS_OF_BLOCK):
        content = msgspec.msgpack.encode(matrix[start : start + ROWS_OF_BLOCK].tolist())
        answers.write(ANSWER.pack(AnswerKind.MIXED, len(content), 0) + content)


if __name__ == "__main__":
    main()

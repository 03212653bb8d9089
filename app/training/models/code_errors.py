"""Errors of a user's file: they name the file, the line and the exception, without frames of other code."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.errors import MantaError

MAX_MESSAGE_CHARS: Final = 500
"""Maximum length of an exception's message in an error."""


class ModelCodeError(MantaError):
    """A user's file cannot be imported, or its function raises or does not return what training needs."""

    status = 422
    title = "Unusable model code"


@contextmanager
def user_code(folder: Path, *, doing: str) -> Iterator[None]:
    """Turn every exception of a user's code into an error that names the user's line.

    Args:
        folder: Folder of the user's code.
        doing: What the code does, as the beginning of a sentence: "model.py cannot be imported".

    Raises:
        ModelCodeError: The code raised an exception, or ended the process.
    """
    try:
        yield
    except (MantaError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # a user's code may raise anything, and `sys.exit` at its end is common
        raise ModelCodeError(f"{doing}: {_sentence(explain(error, folder))}") from error


def explain(error: BaseException, folder: Path) -> str:
    """Describe an exception by the last line of the user's code that led to it.

    Args:
        error: The exception.
        folder: Folder of the user's code. Lines of other folders are not shown.

    Returns:
        For example `model.py, line 12, in build: "return Ridge(alpha=x)". NameError: name 'x' is not defined`.
    """
    message = summarize(error)
    if isinstance(error, SyntaxError) and error.filename:
        return f'{Path(error.filename).name}, line {error.lineno}: "{(error.text or "").strip()}". {message}'
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_in(Path(frame.filename), folder)]
    if not frames:
        return message
    frame = frames[-1]
    place = f"{Path(frame.filename).name}, line {frame.lineno}"
    function = "" if frame.name == "<module>" else f", in {frame.name}"
    return f'{place}{function}: "{frame.line}". {message}'


def summarize(error: BaseException) -> str:
    """Return the type and the first line of the message of an exception."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:MAX_MESSAGE_CHARS]}" if lines else type(error).__name__


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _is_in(file: Path, folder: Path) -> bool:
    """Whether a file is the user's own, and no installed package in a virtual environment of the folder."""
    return file.is_relative_to(folder) and not {"site-packages", "app"} & set(file.relative_to(folder).parts[:-1])

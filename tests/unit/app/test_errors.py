import pickle

import pytest

from app.errors import FeaturesError, MantaError, cause, first_line


def error() -> MantaError:
    return FeaturesError("Row 1 is wide.", allowed="2 values", next_step="Shorten it.", row=1)


def test_the_text_of_an_error_is_the_detail_the_allowed_values_and_the_next_step() -> None:
    assert str(error()) == "Row 1 is wide. Allowed: 2 values. Shorten it."


def test_an_error_becomes_a_problem_document() -> None:
    assert error().problem("/predict") == {
        "type": "urn:manta:problem:unusable-features",
        "title": "Unusable features",
        "status": 422,
        "detail": "Row 1 is wide.",
        "instance": "/predict",
        "allowed": "2 values",
        "next_step": "Shorten it.",
        "row": 1,
    }


def test_an_error_keeps_every_field_when_it_is_pickled() -> None:
    unpickled = pickle.loads(pickle.dumps(error()))  # noqa: S301 - Ray pickles errors

    assert type(unpickled) is FeaturesError
    assert unpickled.problem("/predict") == error().problem("/predict")


@pytest.mark.parametrize(
    ("library_error", "text"),
    [(OSError("Connection closed by server."), "Connection closed by server"), (TimeoutError(), "TimeoutError")],
)
def test_the_message_of_a_library_ends_a_sentence(library_error: Exception, text: str) -> None:
    assert cause(library_error) == text


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("\nrefused\nat 10.0.0.1"), "refused"),
        (ValueError("x" * 1_000), "x" * 500),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_the_first_line_of_an_error_is_short_and_never_empty(error: Exception, line: str) -> None:
    assert first_line(error) == line

import pickle

from app.errors import FeaturesError, MantaError


def error() -> MantaError:
    return FeaturesError("Row 1 is wide.", allowed="2 values", next_step="Shorten it.", row=1)


def test_an_error_says_what_was_given_what_is_allowed_and_what_to_do() -> None:
    assert str(error()) == "Row 1 is wide. Allowed: 2 values. Shorten it."


def test_an_error_is_a_problem_document() -> None:
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


def test_an_error_keeps_its_parts_between_processes() -> None:
    again = pickle.loads(pickle.dumps(error()))  # noqa: S301 - as Ray does it

    assert type(again) is FeaturesError
    assert again.problem("/predict") == error().problem("/predict")

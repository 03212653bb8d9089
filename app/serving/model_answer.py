"""Predicts rows with one version, writes the answer, and measures both. The event loop or a thread calls it."""

import time
from typing import NamedTuple

import numpy as np
from starlette.responses import Response

from app.errors import FeaturesError
from app.models.answers import Answers
from app.serving.loading.served_model import ServedModel
from app.serving.measures.answer_bins import AnswerBins
from app.serving.measures.tally import Answered
from app.serving.protocols.wire import Exchange
from app.serving.requests.row_errors import shortened


class Reply(NamedTuple):
    """The answer of one version to one request."""

    response: Response
    answered: Answered
    answers: Answers
    served: ServedModel
    """The version that answered."""
    ended_s: float
    """When the answer was written, in seconds of `time.perf_counter`."""


def answer(served: ServedModel, rows: np.ndarray, exchange: Exchange, bins: AnswerBins | None) -> Reply:
    """Predict rows, write the answer, and measure both.

    Args:
        served: The version.
        rows: Shape (rows, columns).
        exchange: Writes the answer.
        bins: Counts the answers; None if they are not counted.

    Raises:
        FeaturesError: The version refuses the values.
    """
    start_s = time.perf_counter()
    answers = _predict(served, rows)
    response = exchange.write(answers, served)
    ended_s = time.perf_counter()
    answered = Answered(len(rows), ended_s - start_s, None if bins is None else bins.count(answers.predictions))
    return Reply(response, answered, answers, served, ended_s)


def _predict(served: ServedModel, rows: np.ndarray) -> Answers:
    """Predict rows.

    Raises:
        FeaturesError: scikit-learn refuses the values, for example a category that it does not know.
    """
    try:
        return served.predictor.predict(rows)
    except ValueError as error:
        raise FeaturesError(
            f"The model cannot predict these rows: {shortened(str(error))}",
            next_step="Compare the values with those that the model was trained on.",
        ) from error

"""Models beside the default model of a running platform, one of them broken."""

import httpx

from tests.e2e.lifecycle import platform
from tests.support import many_models
from tests.support.fleet_models import REQUEST_ROWS
from tests.support.live_stack import LiveStack
from tests.support.many_models import BROKEN, ManyModels
from tests.support.waiting import wait_for

REQUESTS = 8
"""Requests for each model, so that every replica answers some."""
FIRST_ANSWER_S = 120


def register(stack: LiveStack) -> ManyModels:
    """Register two models and a broken one with the tag by which the service serves them."""
    with platform.mlflow_credentials(stack) as url:
        return many_models.register_in_subprocess(url, 2)


def assert_answers(stack: LiveStack, models: ManyModels) -> None:
    """Check that each model gives its own answers, and that the broken model is refused with the reason."""
    url = stack.outputs()["serveUrl"]
    answers = {name: [_predict(url, name) for _ in range(REQUESTS)] for name in models.answers}
    refusals = [_predict(url, BROKEN) for _ in range(REQUESTS)]

    assert {answer.status_code for answer in refusals} == {httpx.codes.CONFLICT}
    assert "does not predict its input example" in refusals[0].json()["detail"]
    for name, (champion, _) in models.answers.items():
        assert [answer.json().get("probabilities") for answer in answers[name]] == [champion] * REQUESTS


def _predict(url: str, name: str) -> httpx.Response:
    """Ask for predictions, as a client that repeats a request while the model is unknown or being loaded."""

    def answer() -> httpx.Response | None:
        response = httpx.post(f"{url}/models/{name}/predict", json={"features": REQUEST_ROWS}, timeout=60)
        is_early = response.status_code == httpx.codes.NOT_FOUND or "retry-after" in response.headers
        return None if is_early else response

    return wait_for(f"an answer of {name}", answer, timeout_s=FIRST_ANSWER_S)

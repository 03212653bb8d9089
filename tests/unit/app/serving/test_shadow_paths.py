import pytest

from app.serving.shadow.messages import ShadowFigures, ShadowStatus
from tests.support.replica_api import GUARDED, ask

PATH = "/model/shadow"


def test_without_a_shadow_the_state_is_empty() -> None:
    (answer,) = ask(("GET", PATH, None))

    assert answer.status_code == 200
    assert (answer.json()["shadow"], answer.json()["figures"], answer.json()["rows"]) == (None, None, [])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "version"),
        ({"version": "0"}, 'version is "0"'),
        ({"version": "2", "share": 0}, "share is 0"),
        ({"version": "2", "share": 101}, "share is 101"),
        ({"version": "2", "steps": [5]}, "steps is not known"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(body: object, message: str) -> None:
    (answer,) = ask(("POST", PATH, body))

    assert answer.status_code == 422
    assert message in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "body", "message"),
    [("POST", {"version": "2"}, "no champion that serves"), ("DELETE", None, "There is no shadow")],
)
def test_what_is_not_possible_now_is_a_conflict(method: str, body: object, message: str) -> None:
    (answer,) = ask((method, PATH, body))

    assert answer.status_code == 409
    assert message in answer.json()["detail"]
    assert "manta" in answer.json()["next_step"]


@pytest.mark.parametrize(("method", "status"), [("POST", 401), ("DELETE", 401), ("GET", 200)])
def test_only_a_token_begins_or_ends_a_shadow(method: str, status: int) -> None:
    (answer,) = ask((method, PATH, {"version": "2"}), access=GUARDED, token=False)

    assert answer.status_code == status


@pytest.mark.parametrize(("method", "body"), [("POST", {"version": "2"}), ("GET", None), ("DELETE", None)])
def test_a_model_that_is_not_served_has_no_shadow(method: str, body: object) -> None:
    (answer,) = ask((method, "/models/unknown/shadow", body))

    assert answer.status_code == 404
    assert "does not serve the model 'unknown'" in answer.json()["detail"]


def test_the_default_model_has_the_paths_under_its_name_too() -> None:
    answers = ask(("GET", "/models/m/shadow", None), ("DELETE", "/models/m/shadow", None))

    assert [answer.status_code for answer in answers] == [200, 409]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_only_a_token_changes_a_shadow_of_a_model(method: str) -> None:
    (answer,) = ask((method, "/models/m/shadow", {"version": "2"}), access=GUARDED, token=False)

    assert answer.status_code == 401


def test_without_rows_the_message_of_an_error_is_left_out() -> None:
    latency = {"p50_ms": None, "p95_ms": None, "p99_ms": None}
    figures = ShadowFigures.model_validate(
        {
            "champion": "1",
            "requests": 0,
            "rows": 0,
            "errors": 1,
            "last_error": "ValueError: secret",
            "dropped": 0,
            "agreement": None,
            "labels": [],
            "confusion": [],
            "difference": None,
            "latency": latency,
            "champion_latency": latency,
        }
    )
    status = ShadowStatus.model_validate(
        {
            "shadow": None,
            "figures": figures,
            "rows": [{"difference": 1, "row": [1], "champion": 1, "shadow": 2}],
            "replicas": 1,
            "replicas_ready": 1,
            "trouble": None,
            "timestamp": "2026-01-01T00:00:00Z",
        }
    )

    shown = status.without_rows()

    assert shown.figures is not None
    assert (shown.rows, shown.figures.last_error) == ([], "ValueError")

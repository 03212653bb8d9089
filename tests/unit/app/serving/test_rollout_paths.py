import pytest

from tests.support.replica_api import GUARDED, ask

PATH = "/model/rollout"


def test_without_a_rollout_the_state_is_empty() -> None:
    (answer,) = ask(("GET", PATH, None))

    assert answer.status_code == 200
    assert (answer.json()["rollout"], answer.json()["share"], answer.json()["figures"]) == (None, 0, [])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "version"),
        ({"version": "0"}, 'version is "0"'),
        ({"version": "2", "steps": [5, 500]}, "steps.1 is 500"),
        ({"version": "2", "steps": [50, 5]}, "they have to ascend"),
        ({"version": "2", "steps": [50], "min_rows": 2}, "raise min_rows"),
        ({"version": "2", "share": 5}, "share is not known"),
        ({"version": "2", "max_disagreement": 100}, "max_disagreement is 100"),
        ({"version": "2", "steps": [50], "hold": True, "max_disagreement": 5}, "exclude each other"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(body: object, message: str) -> None:
    (answer,) = ask(("POST", PATH, body))

    assert answer.status_code == 422
    assert message in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("POST", PATH, {"version": "2"}, "no champion that serves"),
        ("DELETE", PATH, None, "No rollout is running"),
        ("POST", f"{PATH}/promote", None, "No rollout is running"),
    ],
)
def test_what_is_not_possible_now_is_a_conflict(method: str, path: str, body: object, message: str) -> None:
    (answer,) = ask((method, path, body))

    assert answer.status_code == 409
    assert message in answer.json()["detail"]
    assert "manta" in answer.json()["next_step"]


@pytest.mark.parametrize(
    ("method", "end", "body"),
    [("POST", "", {"version": "2"}), ("GET", "", None), ("DELETE", "", None), ("POST", "/promote", None)],
)
def test_a_model_that_is_not_served_has_no_rollout(method: str, end: str, body: object) -> None:
    (answer,) = ask((method, f"/models/unknown/rollout{end}", body))

    assert answer.status_code == 404
    assert "does not serve the model 'unknown'" in answer.json()["detail"]


def test_the_default_model_has_the_paths_under_its_name_too() -> None:
    answers = ask(("GET", "/models/m/rollout", None), ("DELETE", "/models/m/rollout", None))

    assert [answer.status_code for answer in answers] == [200, 409]
    assert answers[0].json()["rollout"] is None


@pytest.mark.parametrize(("method", "end"), [("POST", ""), ("DELETE", ""), ("POST", "/promote")])
def test_only_a_token_changes_a_rollout_of_a_model(method: str, end: str) -> None:
    (answer,) = ask((method, f"/models/m/rollout{end}", {"version": "2"}), access=GUARDED, token=False)

    assert answer.status_code == 401

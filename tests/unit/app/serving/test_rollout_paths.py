import pytest

from tests.support.replica_api import ask

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

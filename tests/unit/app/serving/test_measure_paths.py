import numpy as np
import pytest

from app.models.answers import Answers
from app.models.predictor import Predictor
from tests.support import replica_api
from tests.support.fake_models import PREDICTOR
from tests.support.json_object import JsonObject
from tests.support.replica_api import ROWS, ask

ROW = ROWS.iloc[0].tolist()


def measures_after(*bodies: object) -> list[JsonObject]:
    """The measures of the default model after some prediction requests."""
    *_, answer = ask(*(("POST", "/predict", body) for body in bodies), ("GET", "/model/measures", None))
    assert answer.status_code == 200, answer.text
    measures: list[JsonObject] = answer.json()["measures"]
    return measures


def test_measures_count_requests_rows_and_answers_of_the_version() -> None:
    (version,) = measures_after({"features": [ROW]}, {"features": ROWS.to_numpy().tolist()})

    assert (version["version"], version["role"]) == ("1", "champion")
    assert (version["requests"], version["rows"], version["errors"]) == (2, 61, 0)
    assert sum(version["answers"].values()) == 61
    assert version["answers"].keys() == {"False", "True"}
    assert 0 < version["p50_ms"] <= version["p99_ms"]


def test_an_error_of_the_client_is_counted_apart() -> None:
    (version,) = measures_after({"features": [ROW]}, {"features": [[1.0]]}, {"features": "?"})

    assert (version["requests"], version["client_errors"], version["errors"]) == (1, 2, 0)


def test_a_defect_is_counted_as_an_error_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Predictor, __: np.ndarray) -> Answers:
        raise ZeroDivisionError

    monkeypatch.setattr(Predictor, "predict", broken)
    monkeypatch.setattr(replica_api, "compile_model", lambda *_, **__: PREDICTOR)

    (version,) = measures_after({"features": [[1.0]]})

    assert (version["requests"], version["client_errors"], version["errors"]) == (0, 0, 1)


def test_the_last_hour_has_what_was_just_asked() -> None:
    *_, named, unknown, answer = ask(
        ("POST", "/predict", {"features": [ROW]}),
        ("POST", "/predict", {"features": [[1.0]]}),
        ("GET", "/models/m/measures/history", None),
        ("GET", "/models/none/measures/history", None),
        ("GET", "/model/measures/history", None),
    )

    (version,) = answer.json()["history"]
    assert (version["version"], version["role"]) == ("1", "champion")
    assert (sum(version["requests"]), sum(version["client_errors"]), sum(version["errors"])) == (1, 1, 0)
    assert len(version["requests"]) * answer.json()["slot_seconds"] == 3600
    assert sum(value is not None for value in version["p99_ms"]) == 1
    assert sum(named.json()["history"][0]["requests"]) == 1
    assert unknown.status_code == 404


def test_the_measures_of_a_model_that_is_not_served_are_not_found() -> None:
    answers = ask(("GET", "/models/none/measures", None), ("GET", "/models/m/measures", None))

    assert [answer.status_code for answer in answers] == [404, 200]
    assert answers[1].json()["measures"] == []

"""What the API answers about a model: labels of every type, large answers, and examples for those who may predict."""

import asyncio
import json

import httpx
import numpy as np
import pandas as pd
import pytest
from mlflow.types import DataType
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from app.models.answers import Answers
from app.models.artifact import Artifact
from app.models.signature import Column
from app.serving.access import AccessRules
from app.serving.protocols import rows
from tests.support.json_object import JsonObject
from tests.support.replica_api import GUARDED, JSON_TYPE, OPEN, ROWS, artifact, ask, http_client, replica_api

HIDDEN = AccessRules(tokens=[], predict_needs_token=False, show_examples=False, webhook_secret=None)


def examples_shown(access: AccessRules, *, token: bool, model: Artifact | None = None) -> list[object]:
    """The examples of `/model` and of `/openapi.json`."""
    status, document = ask(
        ("GET", "/model", None), ("GET", "/openapi.json", None), access=access, token=token, model=model
    )
    assert status.status_code == document.status_code == 200
    body: JsonObject = document.json()["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    return [status.json()["example"], [example["value"] for example in body["examples"].values()]]


@pytest.mark.parametrize(
    ("access", "token"), [(GUARDED, False), (HIDDEN, True), (HIDDEN, False)], ids=["no token", "hidden", "hidden too"]
)
def test_examples_are_not_shown_to_those_who_may_not_predict_or_if_switched_off(
    access: AccessRules,
    token: bool,  # noqa: FBT001 - a case of the test
) -> None:
    assert examples_shown(access, token=token) == [None, []]


@pytest.mark.parametrize(("access", "token"), [(GUARDED, True), (OPEN, False)])
def test_examples_are_shown_to_those_who_may_predict(access: AccessRules, token: bool) -> None:  # noqa: FBT001 - a case of the test
    example, requests = examples_shown(access, token=token)

    rows = ROWS.head(2).to_numpy().tolist()
    assert example == {"features": rows, "labels": []}
    assert requests == [{"features": rows[:1]}, {"rows": [dict(zip("abc", rows[0], strict=True))]}]


def test_missing_values_in_an_example_are_null_and_no_request_contains_them() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    model = artifact(
        make_pipeline(SimpleImputer(), LinearRegression()).fit(frame, frame["a"]),
        example=pd.DataFrame({"a": [np.nan, 1.0]}),
    )

    example, requests = examples_shown(OPEN, token=False, model=model)

    assert example == {"features": [[None], [1.0]], "labels": []}
    assert requests == [{"features": [[1.0]]}, {"rows": [{"a": 1.0}]}]


def test_boolean_classes_are_answered_as_booleans() -> None:
    model = RandomForestClassifier(n_estimators=3, random_state=0).fit(ROWS, ROWS["a"] > 0)
    row = {"features": [[9.0, 0, 0], [-9.0, 0, 0]]}

    answer, status = ask(
        ("POST", "/predict", row), ("GET", "/model", None), model=artifact(model, labels=[True, False])
    )

    assert '"predictions":[true,false]' in answer.text  # not 1 and 0, which Python takes for equal
    assert '"classes":[false,true]' in status.text
    assert '"labels":[true,false]' in status.text


def test_the_types_of_the_columns_are_answered() -> None:
    frame = pd.DataFrame({"city": ["Rome", "Oslo"], "age": [1.0, 2.0]})
    columns = [Column(name="city", type=DataType.string), Column(name="age")]
    model = make_pipeline(OneHotEncoder(), LinearRegression()).fit(frame, [1.0, 2.0])

    [status] = ask(("GET", "/model", None), model=artifact(model, columns=columns, example=frame))

    assert status.json()["column_types"] == ["string", "double"]


def test_the_time_of_a_version_is_a_number_of_milliseconds() -> None:
    [status] = ask(("GET", "/model", None))

    assert status.json()["model_info"]["creation_timestamp"] == 1_700_000_000_000


def test_a_category_that_the_model_does_not_know_is_an_error_of_the_request() -> None:
    frame = pd.DataFrame({"city": ["Rome", "Oslo"]})
    model = make_pipeline(OneHotEncoder(), LinearRegression()).fit(frame, [1.0, 2.0])
    served = artifact(model, columns=[Column(name="city", type=DataType.string)], example=frame)

    known, unknown = ask(
        ("POST", "/predict", {"rows": [{"city": "Rome"}]}),
        ("POST", "/predict", {"rows": [{"city": "Bonn"}]}),
        model=served,
    )

    assert known.status_code == 200
    assert unknown.status_code == 422
    assert "Bonn" in unknown.json()["detail"] or "unknown categories" in unknown.json()["detail"]


def test_a_large_answer_equals_the_parts_that_it_is_written_in(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    names = random.choice(["benign", "malignant"], size=100)
    answers = [
        Answers(predictions=names, probabilities=random.random((100, 2))),
        Answers(predictions=names, decision=random.random(100)),
        Answers(predictions=random.random((100, 3)), std=random.random((100, 3))),
        Answers(predictions=names, output_probabilities=(random.random((100, 2)), random.random((100, 5)))),
    ]
    wholes = [json.loads(rows.encode(answer, "1")) for answer in answers]
    monkeypatch.setattr(rows, "VALUES_OF_PART", 7)

    parts = [json.loads(rows.encode(answer, "1")) for answer in answers]

    assert [part | {"timestamp": ""} for part in parts] == [whole | {"timestamp": ""} for whole in wholes]
    assert [len(whole["predictions"]) for whole in wholes] == [100] * 4


def test_a_problem_document_names_the_request() -> None:
    async def run() -> list[httpx.Response]:
        async with replica_api() as api, http_client(api) as client:
            headers = {"x-request-id": "q1"}
            return [
                await client.post("/predict", content=b"?", headers=headers | JSON_TYPE),
                await client.get("/unknown", headers=headers),
                await client.get("/unknown"),
            ]

    answers = asyncio.run(run())

    assert [answer.json().get("request_id") for answer in answers] == ["q1", "q1", None]

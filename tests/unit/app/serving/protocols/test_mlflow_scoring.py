"""MLflow's scoring protocol: rows in every form, errors and health."""

import asyncio

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from app.models.artifact import Artifact
from app.models.signature import Column
from tests.support.replica_api import FOREST, GUARDED, ROWS, artifact, ask, http_client, replica_api

FRAME = ROWS.head(4)
SHUFFLED = FRAME[["c", "a", "b"]].assign(extra="ignored")
EXPECTED = FOREST.predict(FRAME).tolist()
LINEAR = artifact(LinearRegression().fit(ROWS, ROWS["a"]))
"""A model that takes no missing values."""
OPTIONAL = artifact(
    make_pipeline(SimpleImputer(), LinearRegression()).fit(ROWS, ROWS["a"]),
    columns=[Column(name="a"), Column(name="b", is_optional=True), Column(name="c")],
)


def post_csv(text: str | bytes, model: Artifact | None = None) -> httpx.Response:
    async def run() -> httpx.Response:
        content = text.encode() if isinstance(text, str) else text
        async with replica_api(model) as api, http_client(api) as client:
            return await client.post("/invocations", content=content, headers={"content-type": "text/csv"})

    return asyncio.run(run())


def split(frame: pd.DataFrame) -> object:
    return {"dataframe_split": frame.to_dict(orient="split")}


@pytest.mark.parametrize(
    "content",
    [
        split(FRAME),
        split(SHUFFLED),
        {"dataframe_split": {"data": FRAME.to_numpy().tolist()}},
        {"dataframe_records": FRAME.to_dict(orient="records")},
        {"dataframe_records": SHUFFLED.to_dict(orient="records")},
        {"instances": FRAME.to_numpy().tolist()},
        {"instances": FRAME.to_dict(orient="records")},
        {"inputs": FRAME.to_numpy().tolist()},
        {"inputs": FRAME.to_dict(orient="list"), "params": {}},
    ],
    ids=["split", "other order", "no columns", "records", "other records", "instances", "named", "inputs", "columns"],
)
def test_each_form_gets_the_predictions_of_scikit_learn(content: object) -> None:
    [response] = ask(("POST", "/invocations", content))

    assert (response.status_code, response.json()) == (200, {"predictions": EXPECTED})


def test_csv_gets_the_predictions_of_scikit_learn() -> None:
    responses = [post_csv(frame.to_csv(index=False)) for frame in (FRAME, SHUFFLED)]

    assert [response.json() for response in responses] == [{"predictions": EXPECTED}] * 2


def test_a_large_body_is_read_by_a_process_with_the_same_answers() -> None:
    frame = pd.concat([FRAME] * 800)

    responses = [ask(("POST", "/invocations", split(frame)))[0], post_csv(frame.to_csv(index=False))]

    assert [response.json() for response in responses] == [{"predictions": EXPECTED * 800}] * 2


def test_missing_values_are_accepted_in_optional_columns() -> None:
    frame = ROWS.head(3).assign(b=[1.0, np.nan, 2.0])
    records = [{name: value for name, value in row.items() if value == value} for row in frame.to_dict("records")]  # noqa: PLR0124 - NaN

    responses = [
        *ask(("POST", "/invocations", {"dataframe_records": records}), model=OPTIONAL),
        post_csv(frame.to_csv(index=False), OPTIONAL),
    ]

    expected = OPTIONAL.model.predict(frame).tolist()
    assert [response.json() for response in responses] == [{"predictions": expected}] * 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "The body cannot be read"),
        ({}, "none of the keys"),
        ({"inputs": [[1, 2, 3]], "instances": [[1, 2, 3]]}, "instances and inputs"),
        ({"inputs": []}, "no row"),
        ({"inputs": [[1, 2]]}, "Row 0 has 2 values"),
        ({"inputs": [[1, 2, 3], {"a": 1}]}, "several kinds"),
        ({"inputs": [[1, 2, "x"]]}, 'Row 0, column 2 is "x"'),
        ({"inputs": [[1, 2, None]]}, "Row 0, column 2 is null"),
        ({"inputs": [[1, 2, True]]}, "Row 0, column 2 is true"),
        ({"inputs": [[1, 2, 10**400]]}, "Row 0, column 2"),
        ({"inputs": {"a": [1], "b": [2]}}, "lacks 'c'"),
        ({"inputs": {"a": [1], "b": [2], "c": [3, 4]}}, "1 and 2 values"),
        ({"dataframe_records": [{"a": 1, "b": 2}]}, "lacks 'c'"),
        ({"dataframe_split": {"columns": ["a", "b", "c"], "data": [[1, 2]]}}, "Row 0 has 2 values"),
        ({"dataframe_split": {"columns": ["a", "b", "c", "a"], "data": [[1, 2, 3, 4]]}}, "'a' twice"),
        ({"dataframe_split": {"columns": ["b", "a", "c"], "data": [[1, 2]]}}, "Row 0 has 2 values"),
    ],
)
def test_an_invalid_body_gets_an_error_in_the_form_of_mlflow(content: object, message: str) -> None:
    [response] = ask(("POST", "/invocations", content), model=LINEAR)

    assert (response.status_code, response.json()["error_code"]) == (400, "BAD_REQUEST")
    assert message in response.json()["message"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks 'a', 'b', 'c'"),
        ("a,b,c\n", "no row"),
        ("a,b\n1,2\n", "lacks 'c'"),
        ("a,b,c\n1,2\n", "Row 0 has 2 values"),
        ("a,b,c\n1,2,x\n", 'Row 0, column 2 is "x"'),
        ("a,b,c\n1,2,\n", "Row 0, column 2 is null"),
        ("a,b,c\n1,2,1_0\n", 'Row 0, column 2 is "1_0"'),
        ('a,b,c\n1,2,"3\n', "not CSV"),
        (b"a,b,c\n1,2,\xff\n", "not UTF-8"),
        ("a,b,c\n" + "1,2,3\n" * 10_001, "10001 rows"),
    ],
)
def test_invalid_csv_gets_an_error_in_the_form_of_mlflow(text: str | bytes, message: str) -> None:
    response = post_csv(text, LINEAR)

    assert response.status_code in (400, 413)
    assert message in response.json()["message"]


@pytest.mark.parametrize("content", [{"dataframe_records": [{"x": 1}]}, {"inputs": {"x": [1]}}])
def test_rows_without_any_column_of_the_model_are_refused_even_if_every_column_is_optional(content: object) -> None:
    responses = [ask(("POST", "/invocations", content))[0], post_csv("1,2,3\n4,5,6\n")]

    assert [response.status_code for response in responses] == [400, 400]


def test_health_and_version_answer_as_mlflow_does() -> None:
    ping, health, version, wrong = ask(
        *(("GET", path, None) for path in ("/ping", "/health", "/version", "/invocations"))
    )

    assert (ping.status_code, ping.text) == (health.status_code, health.text) == (200, "\n")
    assert version.text.startswith("3.")
    assert (wrong.status_code, wrong.json()["error_code"]) == (405, "BAD_REQUEST")


def test_invocations_require_the_token_that_predictions_require() -> None:
    content = {"inputs": FRAME.to_numpy().tolist()}
    [refused], [accepted] = (
        ask(("POST", "/invocations", content), access=GUARDED, token=is_sent) for is_sent in (False, True)
    )

    assert (refused.status_code, refused.json()["error_code"]) == (401, "UNAUTHENTICATED")
    assert accepted.json() == {"predictions": EXPECTED}

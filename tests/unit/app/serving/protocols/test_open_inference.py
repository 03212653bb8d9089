"""The Open Inference Protocol: tensors in every form, outputs, errors and metadata."""

import asyncio
import json
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from mlflow.types import DataType
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from app.models.artifact import Artifact
from app.models.signature import Column
from tests.support.json_object import JsonObject
from tests.support.replica_api import FOREST, GUARDED, ROWS, TOKEN, artifact, ask, http_client, replica_api

INFER = "/v2/models/m/infer"
MATRIX = ROWS.head(4).to_numpy()
CITIES = pd.DataFrame({"city": ["Rome", "Oslo"] * 10, "rooms": [float(index) for index in range(20)]})
LINEAR = artifact(LinearRegression().fit(ROWS, ROWS["a"]))
"""A model that takes no missing values."""
TEXT_MODEL = artifact(
    make_pipeline(
        make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough"), LogisticRegression()
    ).fit(CITIES, np.arange(20) > 9),
    columns=[Column(name="city", type=DataType.string), Column(name="rooms")],
    example=CITIES.head(2),
)


def tensor(name: str, array: np.ndarray, datatype: str = "FP64", **members: object) -> JsonObject:
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": array.ravel().tolist()} | members


def infer(*inputs: JsonObject, model: Artifact | None = None, **members: object) -> httpx.Response:
    [response] = ask(("POST", INFER, {"inputs": list(inputs)} | members), model=model)
    return response


def outputs(response: httpx.Response) -> dict[str, np.ndarray]:
    assert response.status_code == 200, response.text
    return {output["name"]: np.array(output["data"]).reshape(output["shape"]) for output in response.json()["outputs"]}


def post_binary(head: JsonObject, data: bytes, **headers: str) -> httpx.Response:
    async def run() -> httpx.Response:
        content = json.dumps(head).encode()
        all_headers = {"inference-header-content-length": str(len(content))} | headers
        async with replica_api() as api, http_client(api) as client:
            return await client.post(INFER, content=content + data, headers=all_headers)

    return asyncio.run(run())


COLUMNS = [tensor(name, ROWS[name].head(4).to_numpy()) for name in "cab"]


@pytest.mark.parametrize(
    "inputs",
    [
        [tensor("rows", MATRIX)],
        [tensor("rows", MATRIX, data=MATRIX.tolist())],
        COLUMNS,
        [one | {"shape": [4, 1]} for one in COLUMNS],
        [one | {"shape": [4, 1], "data": [[value] for value in one["data"]]} for one in COLUMNS],
    ],
    ids=["flat", "nested", "columns", "columns of shape [4, 1]", "nested columns"],
)
def test_each_form_of_tensors_gets_the_predictions_of_scikit_learn_in_every_bit(inputs: list[JsonObject]) -> None:
    response = infer(*inputs, id="42")

    arrays = outputs(response)
    assert arrays["predict"].tolist() == FOREST.predict(ROWS.head(4)).tolist()
    assert arrays["predict_proba"].tolist() == FOREST.predict_proba(ROWS.head(4)).tolist()
    content = response.json()
    assert (content["model_name"], content["model_version"], content["id"]) == ("m", "1", "42")
    assert [output["datatype"] for output in content["outputs"]] == ["BOOL", "FP64"]


@pytest.mark.parametrize("datatype", ["FP32", "FP16", "INT64", "INT8", "UINT8", "BOOL"])
def test_values_are_rounded_to_the_datatype_of_their_tensor(datatype: str) -> None:
    dtypes = {"FP32": np.float32, "FP16": np.float16, "INT64": np.int64, "INT8": np.int8, "UINT8": np.uint8}
    array = (np.abs(MATRIX) * 2).astype(dtypes.get(datatype, np.bool_))

    arrays = outputs(infer(tensor("rows", array, datatype)))

    expected = FOREST.predict_proba(pd.DataFrame(array.astype(np.float64), columns=list("abc")))
    assert arrays["predict_proba"].tolist() == expected.tolist()


def test_only_the_outputs_that_are_asked_for_are_sent_in_their_order() -> None:
    asked = [{"name": "predict_proba"}, {"name": "predict"}]

    response = infer(tensor("rows", MATRIX), outputs=asked)

    assert [output["name"] for output in response.json()["outputs"]] == ["predict_proba", "predict"]
    assert list(outputs(infer(tensor("rows", MATRIX), outputs=asked[:1]))) == ["predict_proba"]


def test_text_and_numbers_are_one_input_a_column() -> None:
    frame = CITIES.iloc[[0, 3, 12]]
    inputs = [tensor("city", frame["city"].to_numpy(), "BYTES"), tensor("rooms", frame["rooms"].to_numpy())]

    arrays = outputs(infer(*inputs, model=TEXT_MODEL))

    assert arrays["predict_proba"].tolist() == TEXT_MODEL.model.predict_proba(frame).tolist()


def test_binary_tensors_get_binary_outputs_if_asked_for() -> None:
    array = MATRIX.astype(np.float32)
    head = tensor("rows", array, "FP32", parameters={"binary_data_size": array.nbytes})
    del head["data"]

    response = post_binary({"inputs": [head], "parameters": {"binary_data_output": True}}, array.tobytes())

    assert (response.status_code, response.headers["content-type"]) == (200, "application/octet-stream")
    length = int(response.headers["inference-header-content-length"])
    content, data = json.loads(response.content[:length]), response.content[length:]
    sizes = [output["parameters"]["binary_data_size"] for output in content["outputs"]]
    assert sum(sizes) == len(data)
    probabilities = np.frombuffer(data[sizes[0] :]).reshape(content["outputs"][1]["shape"])
    expected = FOREST.predict_proba(pd.DataFrame(array.astype(np.float64), columns=list("abc")))
    assert probabilities.tolist() == expected.tolist()


def test_a_large_request_is_read_by_a_process_with_the_same_answers() -> None:
    array = np.repeat(MATRIX, 800, axis=0)

    arrays = outputs(infer(tensor("rows", array)))

    assert arrays["predict_proba"].tolist() == np.repeat(FOREST.predict_proba(ROWS.head(4)), 800, axis=0).tolist()


WHOLE = tensor("rows", MATRIX)


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        ({}, 400, "missing required field `inputs`"),
        ({"inputs": []}, 400, "no tensor"),
        ({"inputs": [WHOLE | {"datatype": "BF16"}]}, 400, "'BF16'"),
        ({"inputs": [WHOLE | {"shape": [4, 3, 1]}]}, 400, "[4, 3, 1]"),
        ({"inputs": [WHOLE | {"shape": [-4, 3]}]}, 400, "[-4, 3]"),
        ({"inputs": [WHOLE | {"shape": [6, 2]}]}, 400, "Row 0 has 2 values"),
        ({"inputs": [WHOLE | {"shape": [2**41, 3]}]}, 400, "shape"),
        ({"inputs": [WHOLE | {"shape": [5, 3]}]}, 400, "has 12 values for the shape [5, 3]"),
        ({"inputs": [WHOLE | {"shape": [0, 3], "data": []}]}, 400, "no row"),
        ({"inputs": [WHOLE | {"shape": [20_000, 3]}]}, 413, "20000 rows"),
        ({"inputs": [WHOLE | {"data": None}]}, 400, "cannot be read"),
        ({"inputs": [WHOLE | {"data": ["a"] * 12}]}, 400, "Expected `float | null`, got `str`"),
        ({"inputs": [WHOLE | {"data": [1e300] * 12}]}, 400, "Row 0, column 0 is 1e+300"),
        ({"inputs": [WHOLE | {"datatype": "INT8", "data": [300] * 12}]}, 400, "no INT8"),
        ({"inputs": [WHOLE | {"datatype": "INT64", "data": [1.5] * 12}]}, 400, "Expected `int`"),
        ({"inputs": [WHOLE | {"datatype": "BYTES", "data": ["x"] * 12}]}, 400, 'Row 0, column 0 is "x"'),
        ({"inputs": COLUMNS[:2]}, 400, "lacks 'b'"),
        ({"inputs": [*COLUMNS, tensor("d", MATRIX[:, 0])]}, 400, "does not know: 'd'"),
        ({"inputs": [*COLUMNS, COLUMNS[0]]}, 400, "has an input twice"),
        ({"inputs": [*COLUMNS[:2], tensor("b", MATRIX[:3, 0])]}, 400, "has the shape [3]"),
        ({"inputs": [WHOLE], "outputs": [{"name": "colour"}]}, 400, "no output 'colour'"),
        ({"inputs": [WHOLE | {"parameters": {"binary_data_size": 96}}]}, 400, "96 bytes of binary data"),
    ],
)
def test_an_invalid_request_gets_an_error_in_the_form_of_the_protocol(
    content: object, status: int, message: str
) -> None:
    [response] = ask(("POST", INFER, content), model=LINEAR)

    assert (response.status_code, list(response.json())) == (status, ["error"])
    assert message in response.json()["error"]


@pytest.mark.parametrize(
    ("head", "data", "message"),
    [
        ({"binary_data_size": 95}, bytes(95), "has 95 bytes"),
        ({"binary_data_size": 96}, bytes(97), "1 bytes of the body belong to no input"),
        ({"binary_data_size": 97}, bytes(96), "96 bytes are left"),
        ({"binary_data_size": -1}, b"", "-1 bytes"),
    ],
)
def test_binary_data_that_does_not_fit_its_tensor_is_refused(head: JsonObject, data: bytes, message: str) -> None:
    one = {"name": "rows", "shape": [4, 3], "datatype": "FP64", "parameters": head}

    response = post_binary({"inputs": [one]}, data)

    assert response.status_code == 400
    assert message in response.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "99999", "9" * 30])
def test_an_invalid_length_of_the_json_is_refused(length: str) -> None:
    response = post_binary({"inputs": []}, b"", **{"inference-header-content-length": length})

    assert response.status_code == 400
    assert "inference-header-content-length" in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2/models/other/infer", 404),
        ("POST", "/v2/models/m/versions/x/infer", 404),
        ("POST", "/v2/models/../infer", 404),
        ("POST", "/v2/models/a%2Fb/infer", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/other/ready", 404),
        ("GET", "/v2/nowhere", 404),
        ("GET", INFER, 405),
    ],
)
def test_an_unknown_model_version_or_path_gets_an_error_in_the_form_of_the_protocol(
    method: str, path: str, status: int
) -> None:
    [response] = ask((method, path, {"inputs": [WHOLE]}))

    assert (response.status_code, list(response.json())) == (status, ["error"])


def test_the_metadata_name_every_input_and_output() -> None:
    server, model, version, live, ready, model_ready, version_ready = (
        response.json()
        for response in ask(
            *(("GET", path, None) for path in ("/v2", "/v2/models/m", "/v2/models/m/versions/1")),
            *(("GET", path, None) for path in ("/v2/health/live", "/v2/health/ready")),
            *(("GET", path, None) for path in ("/v2/models/m/ready", "/v2/models/m/versions/1/ready")),
            model=TEXT_MODEL,
        )
    )

    assert (server["name"], server["extensions"]) == ("manta", ["binary_tensor_data"])
    assert model == version
    assert model["inputs"] == [
        {"name": "city", "datatype": "BYTES", "shape": [-1]},
        {"name": "rooms", "datatype": "FP64", "shape": [-1]},
    ]
    assert model["outputs"] == [
        {"name": "predict", "datatype": "BOOL", "shape": [-1]},
        {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 2]},
    ]
    assert (live, ready) == ({"live": True}, {"ready": True})
    assert model_ready == version_ready == {"name": "m", "ready": True}


@pytest.mark.parametrize(("headers", "status"), [({}, 401), (TOKEN, 200)])
def test_inference_requires_the_token_that_predictions_require(headers: dict[str, str], status: int) -> None:
    [response] = ask(("POST", INFER, {"inputs": [WHOLE]}), access=GUARDED, token=bool(headers))

    content: Any = response.json()
    assert response.status_code == status
    assert status == 200 or "no bearer token" in content["error"]

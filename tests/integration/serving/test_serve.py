import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import mlflow
import psutil
import pytest
import skops.io
from mlflow import MlflowClient
from sklearn.ensemble import RandomForestClassifier

from app.names import MODEL_NAME
from app.serving.requests.limits import MAX_BODY_BYTES, MAX_HELD_BYTES
from app.training.data.sources import load_bundled
from tests.support.json_object import JsonObject
from tests.support.local import LocalFolder, RunningPlatform
from tests.support.waiting import wait_for, wait_until

ROWS = load_bundled("breast-cancer").rows.features


@pytest.fixture
def unchanged_model(api: httpx.Client) -> Iterator[JsonObject]:
    """The status before the test. The test fails if another version is served afterwards."""
    before = api.get("/model").json()
    yield before
    after = api.get("/model").json()
    assert after["model_info"] == before["model_info"]


@pytest.fixture(scope="module")
def registry(platform: RunningPlatform, local: LocalFolder) -> MlflowClient:
    assert platform.process.poll() is None
    mlflow.set_tracking_uri(local.endpoints.mlflow_url)
    mlflow.set_experiment("foreign")
    return MlflowClient(tracking_uri=local.endpoints.mlflow_url)


def test_a_load_answers_with_every_documented_field(api: httpx.Client) -> None:
    answer = api.post("/model/load", json={"version": "1"})

    content = answer.json()
    assert answer.status_code == 200
    assert content["model_loaded"] is True
    assert content["model_info"].keys() == {"name", "version", "stage", "description", "creation_timestamp"}
    assert (content["model_info"]["name"], content["model_info"]["version"]) == (MODEL_NAME, "1")
    assert [replica["version"] for replica in content["replicas"]] == ["1"] * len(content["replicas"])
    assert content["mlflow_uri"].startswith("http://127.0.0.1:")
    assert datetime.fromisoformat(content["timestamp"]).tzinfo is not None
    assert isinstance(content["model_info"]["creation_timestamp"], int)


def test_a_load_moves_the_champion_alias_to_the_version(api: httpx.Client, registry: MlflowClient) -> None:
    registry.delete_registered_model_alias(MODEL_NAME, "champion")

    assert api.post("/model/load", json={"version": "1"}).is_success

    assert str(registry.get_model_version_by_alias(MODEL_NAME, "champion").version) == "1"


def test_predictions_equal_those_of_scikit_learn_in_every_bit(
    api: httpx.Client, registry: MlflowClient, tmp_path: Path
) -> None:
    info = api.post("/model/load", json={"version": "1"}).json()["model_info"]
    assert registry
    folder = mlflow.artifacts.download_artifacts(f"models:/{MODEL_NAME}/{info['version']}", dst_path=str(tmp_path))
    model = skops.io.load(Path(folder) / "model.skops", trusted=["sklearn.tree._tree.Tree"])

    answer = api.post("/predict", json={"features": ROWS.to_numpy().tolist()}).json()

    assert answer["predictions"] == model.predict(ROWS).tolist()
    assert answer["probabilities"] == model.predict_proba(ROWS).tolist()
    assert answer["model_version"] == "1"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b'{"features": [[1, 2]]}', 422, "Row 0 has 2 values"),
        (b'{"features": [[1, 2], [1]]}', 422, "Row 0 has 2 values"),
        (b'{"features": [["1"]]}', 422, 'Row 0, column 0 is "1"'),
        (b'{"features": [[NaN]]}', 422, "Row 0, column 0 is NaN"),
        (b'{"features": []}', 422, "features"),
        (b'{"features": [[1', 422, "not JSON"),
        (b"", 422, "not JSON"),
        (b'{"features": [' + b"[0]," * 20_000 + b"[0]]}", 413, "20001 rows"),
        (b'{"features": [[' + b"0," * 5_000_000 + b"0]]}", 413, "too large"),
    ],
    ids=["narrow", "ragged", "string", "nan", "empty", "cut", "no body", "20,001 rows", "10 MB"],
)
@pytest.mark.usefixtures("unchanged_model")
def test_an_invalid_prediction_request_gets_a_problem_document(
    api: httpx.Client, body: bytes, status: int, message: str
) -> None:
    answer = api.post("/predict", content=body, headers={"content-type": "application/json"})

    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert message in problem["detail"]
    assert problem["next_step"]


@pytest.mark.usefixtures("unchanged_model")
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"version": "999"}, 404, "no version 999"),
        ({"alias": "unknown"}, 404, "no alias 'unknown'"),
        ({"name": "Unknown", "version": "1"}, 404, "'Unknown'"),
        ({"version": "-1"}, 422, 'version is "-1"'),
        ({"version": "1", "alias": "champion"}, 422, "exclude each other"),
        ({"colour": "red"}, 422, "colour is not known"),
        ([], 422, "The body is []"),
    ],
)
def test_an_invalid_load_request_changes_nothing(api: httpx.Client, body: Any, status: int, message: str) -> None:  # noqa: ANN401 - any JSON
    answer = api.post("/model/load", json=body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert message in answer.json()["detail"]


@pytest.mark.usefixtures("unchanged_model")
@pytest.mark.parametrize("token", [None, "Bearer wrong", "Basic dXNlcjpwYXNz"])
def test_a_load_without_a_valid_token_gets_401(api: httpx.Client, token: str | None) -> None:
    headers = {} if token is None else {"Authorization": token}

    answer = httpx.post(f"{api.base_url}model/load", headers=headers, timeout=30)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")  # raised by MLflow's import
@pytest.mark.usefixtures("unchanged_model")
def test_a_pickled_model_is_refused(api: httpx.Client, registry: MlflowClient) -> None:
    assert registry
    model = RandomForestClassifier(n_estimators=2).fit(ROWS, ROWS["mean radius"] > 14)
    with mlflow.start_run():
        uri = mlflow.sklearn.log_model(
            model,
            name="model",
            serialization_format="cloudpickle",
            pip_requirements=["scikit-learn"],
        ).model_uri

    answer = api.post("/model/load", json={"version": str(mlflow.register_model(uri, MODEL_NAME).version)})

    assert answer.status_code == 409
    assert "Loading that format runs code" in answer.text


@pytest.mark.usefixtures("unchanged_model")
def test_the_refusal_of_a_model_of_another_scikit_learn_names_both_versions(
    api: httpx.Client, registry: MlflowClient, local: LocalFolder
) -> None:
    source = registry.get_model_version(MODEL_NAME, "1")
    artifacts = local.folder / ".manta" / "artifacts"
    model_files = next(path for path in artifacts.rglob("MLmodel") if str(source.source).split("/")[-1] in path.parts)
    before = model_files.read_text()
    model_files.write_text(re.sub(r"sklearn_version: \S+", "sklearn_version: 0.24.1", before))

    answer = api.post("/model/load", json={"version": "1"})

    model_files.write_text(before)
    assert answer.status_code == 409
    assert re.search(r"scikit-learn 0\.24\.1.*scikit-learn 1\.", answer.json()["detail"])


def test_a_killed_replica_restarts_with_the_champion(api: httpx.Client, platform: RunningPlatform) -> None:
    assert api.post("/model/load", json={"version": "1"}).is_success
    before = api.get("/model").json()["replicas"]
    replicas = [process for process in platform.descendants() if process.name().startswith("ray::ServeReplica:manta")]
    for process in replicas:
        process.kill()
    psutil.wait_procs(replicas, timeout=10)

    def has_restarted() -> bool:
        try:
            answer = api.get("/model", timeout=5)
        except httpx.TransportError:
            return False
        return answer.is_success and answer.json()["replicas"] != before and answer.json()["model_loaded"]

    wait_until(has_restarted, what="a new replica", timeout_s=300)

    assert api.get("/model").json()["model_info"]["version"] == "1"


def test_every_example_of_the_openapi_document_is_accepted(api: httpx.Client) -> None:
    document = api.get("/openapi.json").json()
    answers = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts = {one["name"]: one["example"] for one in operation.get("parameters", []) if "example" in one}
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for name, example in content.get("examples", {}).items():
                answers[path, name] = api.request(method, path.format(**parts), json=example["value"]).status_code

    assert len(answers) >= 8
    assert set(answers.values()) == {200}


def test_an_unknown_path_and_a_wrong_method_get_a_problem_document(api: httpx.Client) -> None:
    answers = [api.get("/nowhere"), api.delete("/predict")]

    assert [answer.status_code for answer in answers] == [404, 405]
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}


def test_metrics_count_requests_by_path_and_status(api: httpx.Client, local: LocalFolder) -> None:
    assert api.post("/predict", json={"features": ROWS.head(1).to_numpy().tolist()}).is_success
    assert api.post("/predict", json={}).status_code == 422

    def counted_requests() -> set[tuple[str, str]]:
        groups = httpx.get(f"{local.endpoints.ray_url}/api/prometheus/sd", headers=local.endpoints.ray_headers).json()
        texts = [httpx.get(f"http://{target}/metrics").text for group in groups for target in group["targets"]]
        lines = re.findall(r"^ray_serve_num_http_requests_total{(.*)} \S+$", "\n".join(texts), re.MULTILINE)
        labels = [dict(re.findall(r'(\w+)="([^"]*)"', line)) for line in lines]
        return {(label["route"], label["status_code"]) for label in labels}

    predict = "/fastapi_app/predict"
    wait_until(lambda: {(predict, "200"), (predict, "422")} <= counted_requests(), what="the metrics")


def test_beyond_the_budget_of_large_bodies_small_requests_and_loads_get_answers(api: httpx.Client) -> None:
    message = {"features": ROWS.head(1).to_numpy().tolist()}
    large = {"features": ROWS.to_numpy().tolist()}
    head = f"POST {api.base_url.path}predict HTTP/1.1\r\nHost: manta\r\nContent-Type: application/json\r\n"
    with ExitStack() as clients:

        def hold_a_body() -> None:
            client = socket.create_connection((api.base_url.host, api.base_url.port), timeout=20)
            clients.callback(client.close)
            with suppress(OSError):  # it is refused before it has sent everything
                client.sendall(f"{head}Content-Length: {MAX_BODY_BYTES}\r\n\r\n".encode())
                client.sendall(b" " * (MAX_BODY_BYTES - 1))  # without the last byte, so that the bytes are held

        def refusal() -> httpx.Response | None:
            hold_a_body()  # two bodies that arrive together can both be refused
            answer = api.post("/predict", json=large, timeout=20)
            return answer if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else None

        for _ in range(MAX_HELD_BYTES // MAX_BODY_BYTES):
            hold_a_body()
        answer = wait_for("a refusal", refusal, timeout_s=30, interval_s=0.1)
        assert (answer.headers["retry-after"], answer.json()["title"]) == ("1", "Overloaded")
        assert api.post("/predict", json=message).is_success
        assert api.post("/model/load", json={"version": "1"}).is_success

    wait_until(lambda: api.post("/predict", json=large).is_success, what="large predictions")


def test_a_large_body_of_wrong_values_leaves_the_honest_client_alone(api: httpx.Client) -> None:
    body = b'{"features": [[' + b'"",' * 2_700_000 + b'""]]}'
    message = {"features": ROWS.head(1).to_numpy().tolist()}
    statuses: list[int] = []
    with ThreadPoolExecutor(4) as senders:
        hostile = [
            senders.submit(api.post, "/predict", content=body, headers={"content-type": "application/json"})
            for _ in range(8)
        ]
        while not all(request.done() for request in hostile):
            statuses.append(api.post("/predict", json=message, timeout=5).status_code)

    assert {request.result().status_code for request in hostile} == {422}
    assert set(statuses) == {200}

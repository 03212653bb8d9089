"""The clients of KServe and Triton, requests of MLflow's documentation, and MLflow's own server for comparison."""

import json
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from app.cli.ports import free_ports
from app.names import MODEL_NAME
from app.training.data.sources import load_bundled
from tests.support.json_object import JsonObject
from tests.support.local import LocalFolder, RunningPlatform, clean_environment
from tests.support.ray_cluster import BIN, ROOT, Process
from tests.support.waiting import wait_until

CLIENTS = ROOT / ".venv" / "clients" / "bin" / "python"
ROWS = load_bundled("breast-cancer").rows.features.head(50)
START_TIMEOUT_S = 120.0


@pytest.fixture(scope="module")
def api(platform: RunningPlatform, local: LocalFolder) -> Iterator[httpx.Client]:
    """An HTTP client of the service, for all tests of this module."""
    assert platform.process.poll() is None, platform.output
    with httpx.Client(base_url=local.endpoints.api_url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def answers(api: httpx.Client) -> JsonObject:
    """The answers of `/predict`."""
    content: JsonObject = api.post("/predict", json={"features": ROWS.to_numpy().tolist()}).json()
    return content


@pytest.fixture(scope="module")
def clients(api: httpx.Client) -> JsonObject:
    """What the clients of KServe and Triton got."""
    assert CLIENTS.exists(), "make .venv/.clients installs the clients"
    argument = json.dumps([str(api.base_url).rstrip("/"), MODEL_NAME, ROWS.to_numpy().tolist(), "unknown"])
    process = subprocess.run(
        [CLIENTS, "-I", ROOT / "tests" / "support" / "protocol_clients.py", argument],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    content: JsonObject = json.loads(process.stdout.splitlines()[-1])
    return content


@pytest.fixture(scope="module")
def mlflow_url(api: httpx.Client, local: LocalFolder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`mlflow models serve` of the version that the service answers with."""
    version = api.get("/model").json()["model_info"]["version"]
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    arguments = ["-m", f"models:/{MODEL_NAME}/{version}", "-h", "127.0.0.1", "-p", str(port), "--env-manager", "local"]
    environment = clean_environment() | {
        "MLFLOW_TRACKING_URI": local.endpoints.mlflow_url,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{BIN}:/usr/bin:/bin",
    }
    log = tmp_path_factory.mktemp("mlflow") / "server.log"
    server = Process([str(BIN / "mlflow"), "models", "serve", *arguments], environment, log)
    server.start()
    try:
        wait_until(lambda: httpx.get(f"{url}/ping").is_success, what=f"MLflow ({log})", timeout_s=START_TIMEOUT_S)
        yield url
    finally:
        server.stop()


@pytest.mark.parametrize("client", ["kserve", "triton"])
def test_a_client_of_the_open_inference_protocol_gets_the_answers_of_predict_in_every_bit(
    clients: JsonObject, answers: JsonObject, client: str
) -> None:
    results = clients[client]

    expected = {"predict": answers["predictions"], "predict_proba": answers["probabilities"]}
    assert results["json"] == expected
    assert results["binary"] == expected
    assert results.get("columns", expected) == expected
    assert (results["is_live"], results["is_ready"], results["is_model_ready"]) == (True, True, True)
    assert results["id"] == "42"


def test_a_client_of_the_open_inference_protocol_can_read_the_metadata(clients: JsonObject) -> None:
    results = clients["triton"]

    assert results["server"] == "manta"
    assert results["inputs"] == list(ROWS.columns)


def test_the_error_for_an_unknown_model_reaches_the_clients(clients: JsonObject) -> None:
    assert "404" in clients["kserve"]["error"]
    assert "does not serve the model 'unknown'" in clients["triton"]["error"]


@pytest.mark.parametrize(
    "content",
    [
        {"dataframe_split": ROWS.to_dict(orient="split")},
        {"dataframe_records": ROWS.to_dict(orient="records")},
        {"instances": ROWS.to_dict(orient="records")},
        {"inputs": ROWS.to_dict(orient="list")},
        ROWS.to_csv(index=False),
        ROWS.iloc[:, ::-1].assign(extra=1.0).to_csv(index=False),
    ],
    ids=["split", "records", "instances", "inputs", "csv", "csv in another order with an extra column"],
)
def test_invocations_get_the_answers_of_mlflow_models_serve_in_every_bit(
    api: httpx.Client, mlflow_url: str, answers: JsonObject, content: object
) -> None:
    is_csv = isinstance(content, str)
    body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    headers = {"content-type": "text/csv" if is_csv else "application/json"}

    [ours, theirs] = [
        httpx.post(url, content=body, headers=headers, timeout=60)
        for url in (f"{api.base_url}invocations", f"{mlflow_url}/invocations")
    ]

    assert ours.status_code == theirs.status_code == 200, theirs.text
    assert ours.json() == theirs.json() == {"predictions": answers["predictions"]}


@pytest.mark.parametrize(
    "content",
    [b"{}", b"[]", b"{", b'{"inputs": [[1, 2]]}'],
    ids=["no key", "list", "no JSON", "narrow"],
)
def test_an_invalid_invocation_gets_the_status_and_error_code_of_mlflow(
    api: httpx.Client, mlflow_url: str, content: bytes
) -> None:
    [ours, theirs] = [
        httpx.post(url, content=content, headers={"content-type": "application/json"}, timeout=60)
        for url in (f"{api.base_url}invocations", f"{mlflow_url}/invocations")
    ]

    assert ours.status_code == theirs.status_code == 400
    assert ours.json()["error_code"] == theirs.json()["error_code"]


def test_health_and_version_are_those_of_mlflow(api: httpx.Client, mlflow_url: str) -> None:
    for path in ("ping", "health", "version"):
        ours, theirs = httpx.get(f"{api.base_url}{path}"), httpx.get(f"{mlflow_url}/{path}")
        assert (ours.status_code, ours.text) == (theirs.status_code, theirs.text)

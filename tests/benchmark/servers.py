"""The servers that the benchmark compares: how to install, start and call each one. All serve the same forest."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import joblib
import mlflow
import numpy as np
from sklearn.ensemble import RandomForestClassifier

from app import names
from app.cli.endpoints import Endpoints
from app.cli.ports import free_ports
from tests.benchmark import forest
from tests.support import fleet_models
from tests.support.json_object import JsonObject
from tests.support.local import LocalFolder, clean_environment
from tests.support.ray_cluster import Process
from tests.support.waiting import wait_until

BIN: Final = Path(sys.executable).parent
ROOT: Final = Path(__file__).parents[2]
PEERS: Final = Path(__file__).parent / "peers"
ENVIRONMENTS: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "manta-benchmark"
"""Folder of the peers' virtual environments, each named by the digest of its lock file."""
START_TIMEOUT_S: Final = 240.0
CONSTANT: Final = "constant"
"""Name and path of the Serve application that always sends the same bytes."""

Predictions = tuple[list[str], np.ndarray]
"""Labels, and probabilities of shape (rows, classes)."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server."""

    name: str
    url: str
    """URL of predictions."""
    encode: Callable[[np.ndarray], bytes]
    """Encodes rows as a request body."""
    decode: Callable[[Any], Predictions] | None
    """Decodes the JSON of a response; None for a server that does not read the rows."""

    def predict(self, rows: np.ndarray) -> Predictions:
        """Send one request."""
        assert self.decode is not None
        headers = {"content-type": "application/json"}
        response = httpx.post(self.url, content=self.encode(rows), headers=headers, timeout=30)
        return self.decode(response.raise_for_status().json())


def _encode_features(rows: np.ndarray) -> bytes:
    return json.dumps({"features": rows.tolist()}).encode()


def _decode_predictions(response: JsonObject) -> Predictions:
    return response["predictions"], np.array(response["probabilities"])


@contextmanager
def manta(
    folder: Path, model: RandomForestClassifier, *options: str, import_path: str | None = None
) -> Iterator[tuple[Server, Server, Callable[[int], None], Endpoints]]:
    """Start `manta local` with some options and load the forest.

    Args:
        folder: Folder of the platform.
        model: The forest.
        *options: Options of `manta local`.
        import_path: What Serve imports as the application; None for the service itself.

    Yields:
        The server; the application that always sends the same bytes; a function that sets the number of replicas; and
        the endpoints of the platform.
    """
    os.environ["PYTHONPATH"] = str(ROOT)  # Ray imports the constant application from there
    local = LocalFolder(folder)
    rows, labels = forest.make_rows()
    with local.run_platform(*options):
        endpoints = local.endpoints
        version = fleet_models.register(endpoints.mlflow_url, model, rows, labels)
        client = httpx.Client(timeout=150)
        load_url = f"{endpoints.api_url}/model/load"
        client.post(load_url, json={"version": version}, headers=endpoints.serve_headers).raise_for_status()
        server = Server(
            name="manta", url=f"{endpoints.api_url}/predict", encode=_encode_features, decode=_decode_predictions
        )
        constant = Server(
            name="Serve, constant",
            url=f"{endpoints.serve_url}/{CONSTANT}/predict",
            encode=_encode_features,
            decode=None,
        )
        applications = f"{endpoints.ray_url}/api/serve/applications/"
        details = client.get(applications, headers=endpoints.ray_headers).raise_for_status().json()
        config = details["applications"][names.APPLICATION]["deployed_app_config"]
        if import_path is not None:
            config |= {"import_path": import_path}

        def scale(replicas: int) -> None:
            options = {"num_replicas": replicas, "ray_actor_options": {"num_cpus": 0.1}}
            manta_config = config | {"deployments": [{"name": names.DEPLOYMENT, **options}]}
            constant_config = {
                "name": CONSTANT,
                "route_prefix": f"/{CONSTANT}",
                "import_path": "tests.benchmark.constant:application",
            }
            client.put(
                applications,
                headers=endpoints.ray_headers,
                json={
                    "proxy_location": "HeadOnly",
                    "http_options": {"host": "127.0.0.1", "port": httpx.URL(endpoints.serve_url).port},
                    "applications": [manta_config, constant_config],
                },
            ).raise_for_status()
            wait_until(
                lambda: _replica_versions(client, endpoints.api_url) == [version] * replicas,
                what=f"{replicas} replicas",
                timeout_s=START_TIMEOUT_S,
            )
            wait_until(lambda: client.post(constant.url, content=b"").is_success, what="the constant application")

        scale(1)
        yield server, constant, scale, endpoints


def _replica_versions(client: httpx.Client, url: str) -> list[str | None]:
    return [replica["version"] for replica in client.get(f"{url}/model").raise_for_status().json()["replicas"]]


@contextmanager
def mlflow_serve(folder: Path, model: RandomForestClassifier) -> Iterator[Server]:
    """Start `mlflow models serve`, which predicts probabilities only; the most probable class is the label."""
    path = folder / "model"
    mlflow.sklearn.save_model(model, str(path), serialization_format="cloudpickle", pyfunc_predict_fn="predict_proba")
    [port] = free_ports(1)
    argv = [BIN / "mlflow", "models", "serve", "-m", path, "-h", "127.0.0.1", "-p", port, "--env-manager", "local"]
    with _run_server(argv, folder, health_url=f"http://127.0.0.1:{port}/ping"):
        yield Server(
            name="mlflow models serve",
            url=f"http://127.0.0.1:{port}/invocations",
            encode=lambda rows: json.dumps({"inputs": rows.tolist()}).encode(),
            decode=lambda response: _add_labels(np.array(response["predictions"]), model),
        )


@contextmanager
def mlserver(folder: Path, model: RandomForestClassifier) -> Iterator[Server]:
    """Start MLServer with its scikit-learn runtime. It predicts probabilities; the most probable class is the label."""
    joblib.dump(model, folder / "model.joblib")
    port, grpc, metrics = free_ports(3)
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": grpc, "metrics_port": metrics, "debug": False}
    (folder / "settings.json").write_text(json.dumps(settings))
    implementation = {"implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./model.joblib"}}
    (folder / "model-settings.json").write_text(json.dumps({"name": "forest", **implementation}))

    def encode(rows: np.ndarray) -> bytes:
        tensor = {"name": "rows", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}
        return json.dumps({"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}).encode()

    def decode(response: Any) -> Predictions:  # noqa: ANN401 - JSON
        [output] = response["outputs"]
        return _add_labels(np.array(output["data"]).reshape(output["shape"]), model)

    with _run_server(
        [_install("mlserver") / "mlserver", "start", folder], folder, health_url=_health_url(port, "v2/health/ready")
    ):
        yield Server(
            name="MLServer", url=f"http://127.0.0.1:{port}/v2/models/forest/infer", encode=encode, decode=decode
        )


@contextmanager
def bentoml(folder: Path, model: RandomForestClassifier) -> Iterator[Server]:
    """Start BentoML with one worker."""
    [port] = free_ports(1)
    argv = [_install("bentoml") / "bentoml", "serve", "bentoml_service:Forest", "--working-dir", PEERS]
    with _run_server(
        [*argv, "--host", "127.0.0.1", "--port", port], folder, model, health_url=_health_url(port, "readyz")
    ):
        yield Server(
            name="BentoML", url=f"http://127.0.0.1:{port}/predict", encode=_encode_features, decode=_decode_predictions
        )


@contextmanager
def litserve(folder: Path, model: RandomForestClassifier) -> Iterator[Server]:
    """Start LitServe with one worker."""
    [port] = free_ports(1)
    argv = [_install("litserve") / "python", PEERS / "litserve_service.py", port]
    with _run_server(argv, folder, model, health_url=_health_url(port, "health")):
        yield Server(
            name="LitServe", url=f"http://127.0.0.1:{port}/predict", encode=_encode_features, decode=_decode_predictions
        )


START_PEERS: Final = (mlflow_serve, mlserver, bentoml, litserve)


def _add_labels(probabilities: np.ndarray, model: RandomForestClassifier) -> Predictions:
    return model.classes_[probabilities.argmax(axis=1)].tolist(), probabilities


def _health_url(port: int, path: str) -> str:
    return f"http://127.0.0.1:{port}/{path}"


@contextmanager
def _run_server(
    argv: Sequence[object], folder: Path, model: RandomForestClassifier | None = None, *, health_url: str
) -> Iterator[None]:
    """Run a server until the block ends; its output goes to `server.log` in the folder."""
    environment = clean_environment() | {
        "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),
        "BENCHMARK_MODEL": str(folder / "forest.joblib"),
        "BENTOML_DO_NOT_TRACK": "True",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    if model is not None:
        joblib.dump(model, folder / "forest.joblib")
    process = Process(list(map(str, argv)), environment, folder / "server.log")
    process.start()
    try:
        wait_until(lambda: httpx.get(health_url, timeout=5).is_success, what=str(folder), timeout_s=START_TIMEOUT_S)
        yield
    finally:
        process.stop()


def _install(peer: str) -> Path:
    """Install a peer from its lock file, once, and return the folder of its programs."""
    lock = ROOT / "requirements" / "benchmark" / f"{peer}.txt"
    environment = ENVIRONMENTS / f"{peer}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not (environment / "installed").exists():
        python = ["--python", str(environment / "bin" / "python")]
        for command in (
            [str(BIN / "uv"), "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)],
            [str(BIN / "uv"), "pip", "install", "--quiet", *python, "--require-hashes", "-r", str(lock)],
        ):
            subprocess.run(command, check=True)
        (environment / "installed").touch()
    return environment / "bin"

"""The servers that are compared: how each is installed, started, asked and read. All of them hold the same forest."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from tests.support.local import LocalFolder, clean_environment
from tests.support.ray_cluster import Process
from tests.support.waiting import wait_until

BIN: Final = Path(sys.executable).parent
ROOT: Final = Path(__file__).parents[2]
PEERS: Final = Path(__file__).parent / "peers"
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "manta-benchmark"
"""Where each peer's environment is kept, by the digest of its lock."""
START_LIMIT_S: Final = 240.0
CONSTANT: Final = "constant"
"""Name and path of the application of Serve's that answers the same bytes always."""

Answer = tuple[list[str], np.ndarray]
"""Labels, and probabilities of shape (rows, classes)."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that runs."""

    name: str
    url: str
    """Of predictions."""
    ask: Callable[[np.ndarray], bytes]
    """The body that asks about rows."""
    read: Callable[[Any], Answer] | None
    """What its answer says; None of a server that does not look at the rows."""

    def answer(self, rows: np.ndarray) -> Answer:
        """Ask about rows, once."""
        assert self.read is not None
        sent = httpx.post(self.url, content=self.ask(rows), headers={"content-type": "application/json"}, timeout=30)
        return self.read(sent.raise_for_status().json())


def _features(rows: np.ndarray) -> bytes:
    return json.dumps({"features": rows.tolist()}).encode()


def _both(answer: Mapping[str, Any]) -> Answer:
    return answer["predictions"], np.array(answer["probabilities"])


@contextmanager
def manta(
    folder: Path, model: RandomForestClassifier
) -> Iterator[tuple[Server, Server, Callable[[int], None], Endpoints]]:
    """Start `manta local` and load the forest.

    Yields:
        The server; one on the same path that answers the same bytes always; what changes the number of replicas; and
        where the platform answers.
    """
    os.environ["PYTHONPATH"] = str(ROOT)  # the constant application is found there
    local = LocalFolder(folder)
    rows, labels = forest.rows()
    with local.run_platform():
        endpoints = local.endpoints
        version = fleet_models.register(endpoints.mlflow_url, model, rows, labels)
        client = httpx.Client(timeout=150)
        client.post(
            f"{endpoints.api_url}/model/load", json={"version": version}, headers=endpoints.serve_headers
        ).raise_for_status()
        server = Server(name="manta", url=f"{endpoints.api_url}/predict", ask=_features, read=_both)
        constant = Server(
            name="Serve, constant", url=f"{endpoints.serve_url}/{CONSTANT}/predict", ask=_features, read=None
        )
        applications = f"{endpoints.ray_url}/api/serve/applications/"
        details = client.get(applications, headers=endpoints.ray_headers).raise_for_status().json()
        config = details["applications"][names.APPLICATION]["deployed_app_config"]

        def scale(replicas: int) -> None:
            options = {"num_replicas": replicas, "ray_actor_options": {"num_cpus": 0.1}}
            wanted = config | {"deployments": [{"name": names.DEPLOYMENT, **options}]}
            other = {
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
                    "applications": [wanted, other],
                },
            ).raise_for_status()
            wait_until(
                lambda: _versions(client, endpoints.api_url) == [version] * replicas,
                what=f"{replicas} replicas",
                timeout_s=START_LIMIT_S,
            )
            wait_until(lambda: client.post(constant.url, content=b"").is_success, what="the constant application")

        scale(1)
        yield server, constant, scale, endpoints


def _versions(client: httpx.Client, url: str) -> list[str | None]:
    return [replica["version"] for replica in client.get(f"{url}/model").raise_for_status().json()["replicas"]]


@contextmanager
def mlflow_serve(folder: Path, model: RandomForestClassifier) -> Iterator[Server]:
    """`mlflow models serve`, which answers probabilities; the labels are their classes."""
    path = folder / "model"
    mlflow.sklearn.save_model(model, str(path), serialization_format="cloudpickle", pyfunc_predict_fn="predict_proba")
    [port] = free_ports(1)
    argv = [BIN / "mlflow", "models", "serve", "-m", path, "-h", "127.0.0.1", "-p", port, "--env-manager", "local"]
    with _running(argv, folder, health=f"http://127.0.0.1:{port}/ping"):
        yield Server(
            name="mlflow models serve",
            url=f"http://127.0.0.1:{port}/invocations",
            ask=lambda rows: json.dumps({"inputs": rows.tolist()}).encode(),
            read=lambda answer: _labelled(np.array(answer["predictions"]), model),
        )


@contextmanager
def mlserver(folder: Path, model: RandomForestClassifier) -> Iterator[Server]:
    """MLServer with its runtime for scikit-learn, asked for probabilities alone; the labels are their classes."""
    joblib.dump(model, folder / "model.joblib")
    port, grpc, metrics = free_ports(3)
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": grpc, "metrics_port": metrics, "debug": False}
    (folder / "settings.json").write_text(json.dumps(settings))
    implementation = {"implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./model.joblib"}}
    (folder / "model-settings.json").write_text(json.dumps({"name": "forest", **implementation}))

    def ask(rows: np.ndarray) -> bytes:
        given = {"name": "rows", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}
        return json.dumps({"inputs": [given], "outputs": [{"name": "predict_proba"}]}).encode()

    def read(answer: Any) -> Answer:  # noqa: ANN401 - JSON
        [output] = answer["outputs"]
        return _labelled(np.array(output["data"]).reshape(output["shape"]), model)

    with _running(
        [_environment("mlserver") / "mlserver", "start", folder], folder, health=_health(port, "v2/health/ready")
    ):
        yield Server(name="MLServer", url=f"http://127.0.0.1:{port}/v2/models/forest/infer", ask=ask, read=read)


@contextmanager
def bentoml(folder: Path, model: RandomForestClassifier) -> Iterator[Server]:
    """BentoML with one worker."""
    [port] = free_ports(1)
    argv = [_environment("bentoml") / "bentoml", "serve", "bentoml_service:Forest", "--working-dir", PEERS]
    with _running([*argv, "--host", "127.0.0.1", "--port", port], folder, model, health=_health(port, "readyz")):
        yield Server(name="BentoML", url=f"http://127.0.0.1:{port}/predict", ask=_features, read=_both)


@contextmanager
def litserve(folder: Path, model: RandomForestClassifier) -> Iterator[Server]:
    """LitServe with one worker."""
    [port] = free_ports(1)
    argv = [_environment("litserve") / "python", PEERS / "litserve_service.py", port]
    with _running(argv, folder, model, health=_health(port, "health")):
        yield Server(name="LitServe", url=f"http://127.0.0.1:{port}/predict", ask=_features, read=_both)


PEERS_STARTED: Final = (mlflow_serve, mlserver, bentoml, litserve)


def _labelled(probabilities: np.ndarray, model: RandomForestClassifier) -> Answer:
    return model.classes_[probabilities.argmax(axis=1)].tolist(), probabilities


def _health(port: int, path: str) -> str:
    return f"http://127.0.0.1:{port}/{path}"


@contextmanager
def _running(
    argv: Sequence[object], folder: Path, model: RandomForestClassifier | None = None, *, health: str
) -> Iterator[None]:
    """Run a server until the block ends; its output goes to a file in the folder."""
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
        wait_until(lambda: httpx.get(health, timeout=5).is_success, what=str(folder), timeout_s=START_LIMIT_S)
        yield
    finally:
        process.stop()


def _environment(peer: str) -> Path:
    """The folder of a peer's programs, installed from its lock the first time."""
    lock = ROOT / "requirements" / "benchmark" / f"{peer}.txt"
    place = CACHE / f"{peer}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not (place / "installed").exists():
        python = ["--python", str(place / "bin" / "python")]
        for command in (
            [str(BIN / "uv"), "venv", "--quiet", "--clear", "--python", sys.executable, str(place)],
            [str(BIN / "uv"), "pip", "install", "--quiet", *python, "--require-hashes", "-r", str(lock)],
        ):
            subprocess.run(command, check=True)
        (place / "installed").touch()
    return place / "bin"

"""An MLflow server and a Ray cluster with the Serve application, as local processes that a test can stop or kill."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from app import names
from app.cli.local import haproxy
from app.cli.local.platform import RAY_GAVE_UP
from app.cli.local.processes import PLATFORM_ID_VARIABLE, stop_processes
from app.cli.ports import free_ports
from tests.support.json_object import JsonObject
from tests.support.traffic import NO_TLS
from tests.support.waiting import wait_until

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
RAY_TOKEN = "t" * 40
SERVE_TOKENS = ("new-token", "old-token")
WEBHOOK_SECRET = "webhook-secret"  # noqa: S105 - of a local server that runs only during the tests
HOOKS_FOLDER_VARIABLE = "FLEET_TEST_FOLDER"
"""Environment variable: folder of the files with which a test pauses a replica or makes it refuse."""
MODELS_MEMORY = 100_000
"""Bytes of one replica for models beside the default model: room for about ten small forests."""
START_TIMEOUT_S = 600.0


@dataclass
class Process:
    """A server process and its child processes."""

    argv: list[str]
    environment: dict[str, str]
    log: Path
    folder: Path = ROOT
    """Working directory."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def has_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def stop(self) -> None:
        """End the process and its children, by their process ids."""
        if self._process is None:
            return
        parent = psutil.Process(self._process.pid)
        family = [*parent.children(recursive=True), parent]
        self._process.terminate()
        _, alive = psutil.wait_procs(family, timeout=8)
        for process in alive:
            with suppress(psutil.NoSuchProcess):  # the process has ended already
                process.kill()
        psutil.wait_procs(alive, timeout=8)
        self._process.wait(timeout=20)
        self._process = None
        if platform_id := self.environment.get(PLATFORM_ID_VARIABLE):
            stop_processes(platform_id)  # Ray may have started another HAProxy meanwhile


@dataclass
class Cluster:
    """The processes of a platform and their URLs."""

    folder: Path
    """Folder of the files that control `fleet_app`."""
    mlflow: Process
    ray: Process
    mlflow_url: str
    dashboard_url: str
    serve_url: str
    metrics_port: int
    killed: set[str] = field(default_factory=set)
    """Replicas that a test killed."""

    @property
    def api_url(self) -> str:
        return self.serve_url + names.ROUTE_PREFIX

    def start_mlflow(self) -> None:
        self.mlflow.start()
        wait_until(
            lambda: httpx.get(f"{self.mlflow_url}/health", timeout=5, verify=NO_TLS).is_success,
            what="MLflow",
            timeout_s=START_TIMEOUT_S,
        )

    def start_ray(self) -> None:
        """Start Ray. `scale` deploys the application."""
        self.ray.start()

    def _has_dashboard(self) -> bool:
        """Whether Ray's dashboard answers. A Ray that gave up its start on a busy machine is started again."""
        if self.ray.has_ended() and RAY_GAVE_UP in self.ray.log.read_text():
            self.ray.stop()
            self.ray.log.unlink()
            self.ray.start()
        return self.applications() is not None

    @property
    def serve_port(self) -> int:
        return int(self.serve_url.rsplit(":", 1)[1])

    def scale(
        self, replicas: int, *, settings: JsonObject | None = None, other_applications: Sequence[JsonObject] = ()
    ) -> None:
        """Deploy the application with a number of replicas.

        Args:
            replicas: Number of replicas.
            settings: Members of the application in the Serve config that differ from those of `fleet_app`.
            other_applications: Other applications of the Serve config.
        """
        wait_until(self._has_dashboard, what="Ray's dashboard", timeout_s=START_TIMEOUT_S)
        deployment = {
            "name": names.DEPLOYMENT,
            "num_replicas": replicas,
            "ray_actor_options": {"num_cpus": 0.1},
            "health_check_period_s": 2,
        }
        application = {
            "name": names.APPLICATION,
            "route_prefix": names.ROUTE_PREFIX,
            "import_path": "tests.support.fleet_app:build",
            "deployments": [deployment],
            **(settings or {}),
        }
        config = {
            "proxy_location": "HeadOnly",
            "http_options": {"host": "127.0.0.1", "port": self.serve_port},
            "applications": [application, *other_applications],
        }
        url = f"{self.dashboard_url}/api/serve/applications/"

        def deploy() -> bool:
            """Deploy. A dashboard that has just started answers 500 until it can start Serve's controller."""
            answer = httpx.put(url, headers=self._headers, json=config, timeout=60, verify=NO_TLS)
            assert not answer.is_client_error, answer.text
            return answer.is_success

        wait_until(deploy, what="Serve to take the applications", timeout_s=START_TIMEOUT_S)

    def wait_for_replicas(self, replicas: int) -> None:
        """Wait until Serve runs exactly that many replicas, and has noticed every killed replica."""

        def all_run() -> bool:
            descriptions = self.replicas()
            is_running = [replica["state"] for replica in descriptions] == ["RUNNING"] * replicas
            return is_running and self.killed.isdisjoint(replica["replica_id"] for replica in descriptions)

        wait_until(all_run, what=f"{replicas} running replicas", timeout_s=START_TIMEOUT_S)

    def applications(self) -> JsonObject:
        url = f"{self.dashboard_url}/api/serve/applications/"
        answer = httpx.get(url, headers=self._headers, timeout=10, verify=NO_TLS)
        applications: JsonObject = answer.raise_for_status().json()["applications"]
        return applications

    def replicas(self) -> list[JsonObject]:
        """Serve's description of each replica, such as its id, state and process id."""
        deployments = self.applications().get(names.APPLICATION, {}).get("deployments", {})
        descriptions: list[JsonObject] = deployments.get(names.DEPLOYMENT, {}).get("replicas", [])
        return descriptions

    def kill(self, replica_id: str) -> None:
        """Kill the process of a replica, like a crash."""
        [pid] = [replica["pid"] for replica in self.replicas() if replica["replica_id"] == replica_id]
        self.killed.add(replica_id)
        os.kill(pid, signal.SIGKILL)

    def load(self, version: str | None = None, token: str = SERVE_TOKENS[0], **more: str) -> httpx.Response:
        message = more | ({"version": version} if version else {})
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.post(f"{self.api_url}/model/load", json=message, headers=headers, timeout=150, verify=NO_TLS)

    def model(self) -> JsonObject:
        answer = httpx.get(f"{self.api_url}/model", timeout=30, verify=NO_TLS)
        model: JsonObject = answer.raise_for_status().json()
        return model

    def versions(self) -> list[str | None]:
        """The version that each replica serves."""
        return [replica["version"] for replica in self.model()["replicas"]]

    def wait_for_version(self, version: str, replicas: int = 4) -> None:
        """Wait until every replica serves the version."""
        wait_until(lambda: self.versions() == [version] * replicas, what=f"version {version} everywhere")

    def hold(self, step: str) -> None:
        """Pause every replica before a step of a load, `prepare` or `promote`."""
        (self.folder / f"hold-{step}").touch()

    def held_replicas(self, step: str) -> list[str]:
        """The replicas that are paused before a step."""
        return [path.name.removeprefix(f"held-{step}-") for path in self.folder.glob(f"held-{step}-*")]

    def remove_hooks(self) -> None:
        """Remove every hold and refusal."""
        for path in self.folder.glob("*"):
            path.unlink()

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {RAY_TOKEN}"}


def create_cluster(folder: Path, *, models_memory: int = MODELS_MEMORY) -> Cluster:
    """Describe a cluster that is not started yet.

    Args:
        folder: Folder of the cluster's state. Its path must be short, because Ray puts sockets into it.
        models_memory: Bytes of one replica for models beside the default model.
    """
    mlflow_port, serve_port, proxy_metrics, proxy_stats, *ray_ports = free_ports(10)
    dashboard, gcs, agent, runtime_env_agent, client, metrics = ray_ports
    hooks = folder / "hooks"
    hooks.mkdir()
    token = folder / "token"
    token.write_text(RAY_TOKEN)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MANTA_", "MLFLOW_", "RAY_"))}
    mlflow_url = f"http://127.0.0.1:{mlflow_port}"
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    address = ["--host", "127.0.0.1", "--port", str(mlflow_port), "--workers", "1"]
    mlflow = Process(
        [str(BIN / "mlflow"), "server", *address, *store],
        clean
        | {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
            "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
        },
        folder / "mlflow.log",
    )
    options = {
        "node-ip-address": "127.0.0.1",
        "port": gcs,
        "min-worker-port": 0,
        "max-worker-port": 0,
        "dashboard-host": "127.0.0.1",
        "dashboard-port": dashboard,
        "dashboard-agent-listen-port": agent,
        "runtime-env-agent-port": runtime_env_agent,  # as in `app.cli.local.platform`
        "ray-client-server-port": client,
        "metrics-export-port": metrics,
        "temp-dir": folder / "r",
        "num-cpus": 8,
    }
    program = haproxy.binary()
    proxy = haproxy.environment(program, folder, metrics_port=proxy_metrics, stats_port=proxy_stats) if program else {}
    environment = {
        **clean,
        **proxy,
        "PYTHONPATH": str(ROOT),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # keeps Ray on loopback, as `app.cli.local.platform` says
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_USE_UVLOOP": "0",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": names.MIDDLEWARE_IMPORT_PATH,
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",  # HAProxy gets a change within a second
        "RAY_USAGE_STATS_ENABLED": "0",
        "MLFLOW_TRACKING_URI": mlflow_url,
        "MANTA_SERVE_TOKENS": ",".join(SERVE_TOKENS),
        "MANTA_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "MANTA_MODELS_MEMORY": str(models_memory),
        "MANTA_MODEL_CACHE": str(folder / "models"),
        HOOKS_FOLDER_VARIABLE: str(hooks),
        PLATFORM_ID_VARIABLE: secrets.token_hex(16),
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    return Cluster(
        folder=hooks,
        mlflow=mlflow,
        ray=Process([str(BIN / "ray"), "start", "--head", "--block", *flags], environment, folder / "ray.log"),
        mlflow_url=mlflow_url,
        dashboard_url=f"http://127.0.0.1:{dashboard}",
        serve_url=f"http://127.0.0.1:{serve_port}",
        metrics_port=metrics,
    )

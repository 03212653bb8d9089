"""The parts of the local platform: MLflow, a Ray head and the Serve application as processes.

`app.cli.local.command` decides the order of the steps and their output.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import httpx
from pydantic import BaseModel, ConfigDict

from app import names
from app.cli.endpoints import Endpoints
from app.cli.local import haproxy
from app.cli.local.processes import Processes, end_session
from app.cli.ports import LOOPBACK, free_ports
from app.cli.progress import console
from app.errors import PlatformError

POLL_S: Final = 0.1
"""Pause between two checks of a part that is starting or running."""

START_TIMEOUT_S: Final = 600.0
"""Longest time that a part may take to start: on a quiet machine seconds, on a very busy one minutes."""

MAX_RAY_STARTS: Final = 6
"""Maximum number of starts of Ray. On a busy machine, Ray gives up if its node has not registered after 30 s. With
eight running processes per core, it gave up twice in succession, after 70 s each."""

RAY_GAVE_UP: Final = "The current node timed out during startup"
"""Message of a Ray that gave up its start."""

RAY_STARTED: Final = "Ray runtime started"
"""Message of a Ray whose node has registered. The dashboard may answer earlier."""

REQUEST_TIMEOUT_S: Final = 30.0
"""Timeout of one request to a part that is starting. Ray answers some only after it has started Serve's controller."""

OBJECT_STORE_BYTES: Final = 512 * 1024**2
"""Size of Ray's object store. Ray's default is a third of the machine's memory."""

BIN_FOLDER: Final = Path(sys.executable).parent
"""Folder with the programs of this Python environment."""


class Ports(BaseModel):
    """Ports of Ray's dashboard, MLflow and the service. Ray chooses all its other ports."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ray: int = 8265
    mlflow: int = 8989
    serve: int = 8000

    def endpoints(self, token: str, *, model_name: str, show_examples: bool = True) -> Endpoints:
        """The addresses for these ports, with the token of Ray and of `/model/load`, and the model to serve."""
        return Endpoints(
            ray_url=f"http://{LOOPBACK}:{self.ray}",
            mlflow_url=f"http://{LOOPBACK}:{self.mlflow}",
            serve_url=f"http://{LOOPBACK}:{self.serve}",
            model_name=model_name,
            show_examples=show_examples,
            ray_token=token,
            serve_token=token,
        )

    def check_free(self) -> None:
        """Check that every port is free and that all are different.

        Raises:
            PlatformError: A port is in use, or two ports are equal. The message names the port and its option.
        """
        for name, port in self.model_dump().items():
            option = f"--{name}-port"
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((LOOPBACK, port))
                except OSError as error:
                    raise PlatformError(
                        f"Port {port} is not free: {error.strerror}.",
                        next_step=f"End the program that uses it, or choose another port with {option}.",
                    ) from error
        if len({self.ray, self.mlflow, self.serve}) < len(Ports.model_fields):
            raise PlatformError(
                f"The ports {self.ray}, {self.mlflow} and {self.serve} are not all different.",
                next_step="Choose different ports with --ray-port, --mlflow-port and --serve-port.",
            )


class Platform:
    """MLflow, a Ray head and the Serve application as processes on this machine.

    Args:
        processes: Starts and stops the processes.
        endpoints: Addresses and token that the parts use.
        state: Folder for MLflow's database and artifacts, and for the copy of the version that served last.
        scratch: Folder for Ray's sessions. Its path must be short, because it holds sockets.
    """

    def __init__(self, processes: Processes, endpoints: Endpoints, *, state: Path, scratch: Path) -> None:
        self._processes = processes
        self._endpoints = endpoints
        self._state = state
        self._scratch = scratch
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ray_starts = 0

    @staticmethod
    def environment(endpoints: Endpoints, *, state: Path, scratch: Path) -> dict[str, str]:
        """Environment variables of every process: the same ones as in a cluster."""
        binary = haproxy.binary()
        metrics, stats = free_ports(2)
        haproxy_variables = (
            haproxy.environment(binary, scratch, metrics_port=metrics, stats_port=stats) if binary else {}
        )
        return haproxy_variables | {
            "PATH": os.pathsep.join([str(BIN_FOLDER), os.environ.get("PATH", os.defpath)]),
            "MLFLOW_TRACKING_URI": endpoints.mlflow_url,
            "MANTA_MODEL_NAME": endpoints.model_name,
            "MANTA_SERVE_TOKENS": endpoints.serve_token,
            "MANTA_MODEL_CACHE": str(state.resolve() / "models"),
            # MLflow's job runner starts one Python process per kind of job. This platform uses no such jobs.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": endpoints.ray_token,
            # The replica handles a request on one thread, without a switch to another event loop.
            "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
            # uvloop accepts one connection per iteration, so 256 new connections wait for seconds. asyncio accepts all.
            "RAY_USE_UVLOOP": "0",
            "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": names.MIDDLEWARE_IMPORT_PATH,
            "RAY_USAGE_STATS_ENABLED": "0",
            # Without this setting, Ray replaces a loopback address by the address of the machine's network interface.
            # With it, Ray treats the node as a single node and binds 127.0.0.1 only.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "PYTHONUNBUFFERED": "1",
        }

    def start_mlflow(self) -> None:
        """Start the MLflow server with SQLite and with its artifacts in the state folder."""
        state, port = self._state.resolve(), httpx.URL(self._endpoints.mlflow_url).port
        self._running["mlflow"] = self._processes.start(
            "mlflow",
            [
                *(str(BIN_FOLDER / "mlflow"), "server", "--host", LOOPBACK, "--port", str(port), "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{state / 'mlflow.db'}"),
                *("--artifacts-destination", str(state / "artifacts")),
            ],
        )

    def start_ray(self) -> None:
        """Start a Ray head. Its dashboard and Jobs API require the token."""
        self._ray_starts += 1
        agent, client, runtime_env_agent = map(str, free_ports(3))
        # With 0, Ray chooses a free port. The agent of the runtime environments gets a fixed one. Otherwise the server
        # of Ray Client waits until the node is registered and knows that port. If that takes more than 30 s, the server
        # ends, and Ray ends with it.
        ports = dict.fromkeys(("--port", "--min-worker-port", "--max-worker-port"), "0")
        ports |= {"--dashboard-agent-listen-port": agent, "--ray-client-server-port": client}
        ports |= {"--runtime-env-agent-port": runtime_env_agent}
        self._running["ray"] = self._processes.start(
            "ray",
            [
                *(str(BIN_FOLDER / "ray"), "start", "--head", "--block", "--disable-usage-stats"),
                *("--node-ip-address", LOOPBACK, "--temp-dir", str(self._scratch)),
                *("--dashboard-host", LOOPBACK, "--dashboard-port", str(httpx.URL(self._endpoints.ray_url).port)),
                *("--object-store-memory", str(OBJECT_STORE_BYTES)),
                *(argument for option in ports.items() for argument in option),
            ],
        )

    async def wait_for_mlflow(self) -> None:
        """Wait until MLflow answers."""
        await self._wait_for_response("mlflow", self._endpoints.mlflow_url + "/health")

    async def wait_for_ray(self) -> None:
        """Wait until Ray accepts jobs and Serve applications.

        Raises:
            PlatformError: Ray did not start in time, or a process has ended.
        """
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            await self._wait_for_response("ray", self._endpoints.ray_url + "/api/version")
            if RAY_STARTED in self._processes.log_file("ray").read_text(errors="replace"):
                return
            if time.monotonic() > deadline_s:
                raise PlatformError(
                    f"Ray did not start within {START_TIMEOUT_S:.0f} s.", next_step=self._log_hint("ray")
                )
            await asyncio.sleep(POLL_S)

    async def deploy_serve(self) -> None:
        """Deploy the Serve application as KubeRay does for a RayService, and wait until it answers."""
        config = {
            "proxy_location": "HeadOnly",
            "http_options": {"host": LOOPBACK, "port": httpx.URL(self._endpoints.serve_url).port},
            "applications": [
                {
                    "name": names.APPLICATION,
                    "route_prefix": names.ROUTE_PREFIX,
                    "import_path": names.IMPORT_PATH,
                    # The replica reserves no CPU, so training may use all CPUs of the machine.
                    "deployments": [{"name": names.DEPLOYMENT, "ray_actor_options": {"num_cpus": 0}}],
                }
            ],
        }
        await self._wait_for_response(
            "ray", self._endpoints.ray_url + "/api/serve/applications/", method="PUT", json=config
        )
        await self._wait_for_response("ray", self._endpoints.api_url + "/healthz")

    async def watch(self) -> None:
        """Run until a process ends.

        Raises:
            PlatformError: A process has ended. The message contains the end of its log.
        """
        while True:
            self._check_running()
            await asyncio.sleep(POLL_S)

    async def _wait_for_response(self, process: str, url: str, *, method: str = "GET", json: object = None) -> None:
        """Repeat a request until it succeeds.

        Raises:
            PlatformError: The request did not succeed within `START_TIMEOUT_S`, or a process has ended.
        """
        failure = "no response"
        try:
            async with asyncio.timeout(START_TIMEOUT_S), httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S) as client:
                while True:
                    self._check_running()
                    try:
                        response = await client.request(method, url, json=json, headers=self._endpoints.ray_headers)
                    except httpx.TransportError as error:
                        failure = str(error) or type(error).__name__
                    else:
                        if response.is_success:
                            return
                        failure = f"status {response.status_code}: {response.text[:200]}"
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise PlatformError(
                f"{url} did not answer within {START_TIMEOUT_S:.0f} s ({failure}).", next_step=self._log_hint(process)
            ) from error

    def _check_running(self) -> None:
        """Check that no process has ended. A Ray that gave up its start is started again.

        Raises:
            PlatformError: A process has ended.
        """
        for name, process in self._running.items():
            if process.poll() is None:
                continue
            if name == "ray" and self._ray_starts < MAX_RAY_STARTS and RAY_GAVE_UP in self._processes.log_tail(name):
                console.print("Ray gave up its start, probably because the machine is busy. Ray starts again.")
                end_session(process)
                self.start_ray()
            else:
                raise PlatformError(
                    f"{name} ended with exit code {process.returncode}.", next_step=self._log_hint(name)
                )

    def _log_hint(self, process: str) -> str:
        return f"Read {self._processes.log_file(process)}. Its last lines:\n{self._processes.log_tail(process)}"

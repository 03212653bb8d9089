"""The platform on one machine: which processes it consists of, what they are told, and when each is ready.

The order of the steps, and what the user sees of them, is decided in `app.cli.local.command`.
"""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import httpx
from pydantic import BaseModel, ConfigDict

from app import names
from app.cli.endpoints import Target
from app.cli.local import haproxy
from app.cli.local.processes import Processes
from app.cli.ports import LOOPBACK, free_ports
from app.errors import PlatformError
from app.settings import settings

POLL_S: Final = 0.1
"""Pause between two looks at something that is being waited for."""

READY_LIMIT_S: Final = 180.0
"""The longest that a part may take to start before the command gives up."""

REQUEST_TIMEOUT_S: Final = 5.0
"""The longest silence of a part while it starts."""

OBJECT_STORE_BYTES: Final = 512 * 1024**2
"""Shared memory for Ray's objects; Ray would take a third of the machine's memory."""

BIN: Final = Path(sys.executable).parent
"""Folder of this environment's programs."""


class Ports(BaseModel):
    """Ports of the three addresses that people use; Ray picks the rest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ray: int = 8265
    mlflow: int = 8989
    serve: int = 8000

    def target(self, token: str) -> Target:
        """The addresses, with the token that opens them."""
        return Target(
            ray_url=f"http://{LOOPBACK}:{self.ray}",
            mlflow_url=f"http://{LOOPBACK}:{self.mlflow}",
            serve_url=f"http://{LOOPBACK}:{self.serve}",
            ray_token=token,
            serve_token=token,
        )

    def check_free(self) -> None:
        """Make sure that every port can be bound.

        Raises:
            PlatformError: One is in use, or two are the same; the message names the port and its flag.
        """
        for name, port in self.model_dump().items():
            flag = f"--{name}-port"
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((LOOPBACK, port))
                except OSError as error:
                    raise PlatformError(
                        f"Port {port} is not free: {error.strerror}.",
                        next_step=f"End what uses it, or choose another port with {flag}.",
                    ) from error
        if len({self.ray, self.mlflow, self.serve}) < len(Ports.model_fields):
            raise PlatformError(
                f"The ports {self.ray}, {self.mlflow} and {self.serve} are not all different.",
                next_step="Choose others with --ray-port, --mlflow-port and --serve-port.",
            )


class Platform:
    """MLflow, a Ray head and the Serve application, as processes of this machine.

    Args:
        processes: What starts and ends them.
        target: Where they are to answer.
        state: Folder of MLflow's database and artifacts.
        scratch: Folder for Ray's sessions; its path is short, since sockets lie below it.
    """

    def __init__(self, processes: Processes, target: Target, *, state: Path, scratch: Path) -> None:
        self._processes = processes
        self._target = target
        self._state = state
        self._scratch = scratch
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @staticmethod
    def environment(target: Target, scratch: Path) -> dict[str, str]:
        """What every process is told: the same variables as in a cluster."""
        program = haproxy.binary()
        metrics, stats = free_ports(2)
        proxy = haproxy.environment(program, scratch, metrics_port=metrics, stats_port=stats) if program else {}
        return proxy | {
            "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)]),
            "MLFLOW_TRACKING_URI": target.mlflow_url,
            "MANTA_SERVE_TOKENS": target.serve_token,
            # Its job runner is a Python process for each kind of job, none of which anything here uses.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": target.ray_token,
            # Requests stay on one thread of the replica: no handing over from one event loop to another.
            "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
            "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": names.MIDDLEWARE_IMPORT_PATH,
            "RAY_USAGE_STATS_ENABLED": "0",
            # Ray's name for a node that is no part of a cluster: it keeps 127.0.0.1 and binds nothing else. Without
            # it, Ray replaces a loopback address by the machine's own.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "PYTHONUNBUFFERED": "1",
        }

    def start_mlflow(self) -> None:
        """Start the MLflow server on SQLite, with artifacts in the state folder."""
        state, port = self._state.resolve(), httpx.URL(self._target.mlflow_url).port
        self._running["mlflow"] = self._processes.start(
            "mlflow",
            [
                *(str(BIN / "mlflow"), "server", "--host", LOOPBACK, "--port", str(port), "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{state / 'mlflow.db'}"),
                *("--artifacts-destination", str(state / "artifacts")),
            ],
        )

    def start_ray(self) -> None:
        """Start a Ray head whose dashboard and Jobs API ask for the token."""
        agent, client = map(str, free_ports(2))
        ports = {"--dashboard-agent-listen-port": agent, "--ray-client-server-port": client}
        ports |= dict.fromkeys(("--port", "--min-worker-port", "--max-worker-port"), "0")
        self._running["ray"] = self._processes.start(
            "ray",
            [
                *(str(BIN / "ray"), "start", "--head", "--block", "--disable-usage-stats"),
                *("--node-ip-address", LOOPBACK, "--temp-dir", str(self._scratch)),
                *("--dashboard-host", LOOPBACK, "--dashboard-port", str(httpx.URL(self._target.ray_url).port)),
                *("--object-store-memory", str(OBJECT_STORE_BYTES)),
                *(word for pair in ports.items() for word in pair),
            ],
        )

    async def mlflow_ready(self) -> None:
        """Wait until MLflow answers."""
        await self._answers("mlflow", self._target.mlflow_url + "/health")

    async def ray_ready(self) -> None:
        """Wait until Ray takes jobs and Serve applications."""
        await self._answers("ray", self._target.ray_url + "/api/version")

    async def serve_ready(self) -> None:
        """Deploy the Serve application as a RayService does, and wait until it answers."""
        config = {
            "proxy_location": "HeadOnly",
            "http_options": {"host": LOOPBACK, "port": httpx.URL(self._target.serve_url).port},
            "applications": [
                {
                    "name": names.APPLICATION,
                    "route_prefix": names.ROUTE_PREFIX,
                    "import_path": names.IMPORT_PATH,
                    # Training may use every CPU of the machine: a replica that waits for requests needs none.
                    "deployments": [{"name": names.DEPLOYMENT, "ray_actor_options": {"num_cpus": 0}}],
                }
            ],
        }
        await self._answers("ray", self._target.ray_url + "/api/serve/applications/", method="PUT", json=config)
        await self._answers("ray", self._target.api_url + "/healthz")

    async def has_champion(self) -> bool:
        """Whether an earlier start left a version that serves."""
        async with httpx.AsyncClient(timeout=READY_LIMIT_S) as client:
            answer = await client.get(
                self._target.mlflow_url + "/api/2.0/mlflow/registered-models/alias",
                params={"name": settings().model_name, "alias": names.CHAMPION},
            )
        return answer.is_success

    async def stays_up(self) -> None:
        """Wait until a process ends, which none should.

        Raises:
            PlatformError: One has ended; the message holds the end of its log.
        """
        while True:
            self._check_running()
            await asyncio.sleep(POLL_S)

    async def _answers(self, process: str, url: str, *, method: str = "GET", json: object = None) -> None:
        """Repeat a request until it succeeds, the process ends, or the limit is over."""
        last = "no answer"
        try:
            async with asyncio.timeout(READY_LIMIT_S), httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S) as client:
                while True:
                    self._check_running()
                    try:
                        answer = await client.request(method, url, json=json, headers=self._target.ray_headers)
                    except httpx.TransportError as error:
                        last = str(error) or type(error).__name__
                    else:
                        if answer.is_success:
                            return
                        last = f"status {answer.status_code}: {answer.text[:200]}"
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise PlatformError(
                f"{url} did not answer within {READY_LIMIT_S:.0f} s ({last}).",
                next_step=f"See {self._processes.log(process)}, which ends:\n{self._processes.log_tail(process)}",
            ) from error

    def _check_running(self) -> None:
        for name, process in self._running.items():
            if process.poll() is not None:
                raise PlatformError(
                    f"{name} ended with exit code {process.returncode}.",
                    next_step=f"See {self._processes.log(name)}, which ends:\n{self._processes.log_tail(name)}",
                )

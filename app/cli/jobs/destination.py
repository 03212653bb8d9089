"""The Ray cluster that a job goes to: an address, the platform of this folder, or a Pulumi stack."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import typer

from app.cli.endpoints import Endpoints
from app.cli.ports import LOOPBACK, free_ports
from app.cli.stack import pending_cluster, tunnels
from app.cli.stack.outputs import StackOutputs, Tunnel, read_outputs
from app.cli.state import STATE_FOLDER, is_platform_running
from app.errors import ParameterError, PlatformError
from app.settings import Settings

PROJECT_FILE: Final = "Pulumi.yaml"
"""File of a Pulumi project. Pulumi selects a stack per project folder."""

LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1"})
"""Hosts in a stack's addresses that mean: reachable through a tunnel."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A Ray cluster that runs jobs."""

    endpoints: Endpoints
    name: str
    """Name of the cluster in messages."""
    stack: str = ""
    """Pulumi stack of the cluster."""
    is_local: bool = False
    """Whether its jobs see this machine's files and use this Python environment."""
    tunnel: Tunnel | None = None
    """Tunnel to Ray, if Ray is reachable through a tunnel only."""
    context: str = ""
    """Context of the kubeconfig for the tunnel."""

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Endpoints]:
        """Yield the endpoints to use. If the cluster needs a tunnel, keep it open while the block runs."""
        if self.tunnel is None:
            yield self.endpoints
            return
        (port,) = free_ports(1)
        tunnel = self.tunnel.model_copy(update={"local_port": port})
        async with tunnels.open_tunnel(tunnel, context=self.context, report=_print_to_stderr):
            yield self.endpoints.model_copy(update={"ray_url": f"http://{LOOPBACK}:{port}"})


def find_pending(*, address: str = "", token: str = "", stack: str = "") -> Destination:
    """Find the Ray cluster that an upgrade of a stack has started and that does not serve yet.

    Args:
        address: Must be empty, because the cluster has no address outside of Kubernetes.
        token: Ray's token, in place of the stack's output.
        stack: Name of the stack; empty for the selected stack.

    Raises:
        ParameterError: `--pending` and `--address` were given together.
        StackError: Pulumi cannot read the stack, or no cluster is pending.
    """
    if address:
        raise ParameterError("--pending and --address were given together.", next_step="Drop one.")
    outputs = read_outputs(stack, show_secrets=not token)
    tunnel = pending_cluster.find_tunnel(outputs)
    name = outputs.stack or stack
    return Destination(
        endpoints=Endpoints(ray_token=token or outputs.ray_token.get_secret_value()),
        name=f"{tunnel.service} (pending Ray cluster of stack {name or 'selected'})",
        stack=name,
        tunnel=tunnel,
        context=outputs.context,
    )


def find(settings: Settings, *, address: str = "", token: str = "", stack: str = "") -> Destination:
    """Find the Ray cluster for a job.

    Args:
        settings: Addresses and tokens from the environment.
        address: URL of Ray's dashboard. It has priority over everything else.
        token: Ray's token. It replaces the token of the environment or of the stack.
        stack: Name of a Pulumi stack. It has priority over the environment and over the platform of this folder.

    Raises:
        StackError: Pulumi cannot read the stack, or the stack is not up.
        PlatformError: Nothing names a cluster, and no platform runs in this folder; or the address is not a URL.
    """
    endpoints = Endpoints.resolve(settings)
    if token:
        endpoints = endpoints.model_copy(update={"ray_token": token})
    ray_url = address or ("" if stack else settings.ray_dashboard_url or "")
    if ray_url:
        ray_url = _check_url(ray_url)
        return Destination(
            endpoints=endpoints.model_copy(update={"ray_url": ray_url}), name=ray_url, stack=settings.stack
        )
    if not stack and is_platform_running(STATE_FOLDER):
        return Destination(
            endpoints=endpoints, name=f"{endpoints.ray_url} (the platform of this folder)", is_local=True
        )
    if stack or Path(PROJECT_FILE).exists():
        return from_stack(read_outputs(stack, show_secrets=not token), token=token, stack=stack)
    raise PlatformError(
        f"No platform runs in {Path.cwd()}, and the folder has no {PROJECT_FILE}.",
        next_step="Start a platform with `manta local`, change to the folder of the stack, "
        "or name the cluster with --address URL.",
    )


def from_stack(outputs: StackOutputs, *, token: str = "", stack: str = "") -> Destination:
    """The Ray cluster of a stack, with a tunnel if its address is on localhost.

    Args:
        outputs: Outputs of the stack.
        token: Ray's token, in place of the stack's output.
        stack: Name of the stack, used if the outputs do not contain it.
    """
    needs_tunnel = urlsplit(outputs.ray_dashboard_url).hostname in LOCAL_HOSTS
    return Destination(
        endpoints=Endpoints(ray_url=outputs.ray_dashboard_url, ray_token=token or outputs.ray_token.get_secret_value()),
        name=f"{outputs.ray_dashboard_url} (stack {outputs.stack or stack or 'selected'})",
        stack=outputs.stack or stack,
        tunnel=next(tunnel for tunnel in outputs.forwards if tunnel.name == "ray") if needs_tunnel else None,
        context=outputs.context,
    )


def _check_url(address: str) -> str:
    url = httpx.URL(address)
    if url.scheme not in {"http", "https"} or not url.host:
        raise PlatformError(
            f"{address!r} is not an address of Ray's dashboard.", allowed="http://HOST:PORT or https://HOST"
        )
    return address.rstrip("/")


def _print_to_stderr(line: str) -> None:
    typer.echo(line, err=True)

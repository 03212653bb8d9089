"""Which Ray a job goes to: one that is named, the platform of this folder, or the selected Pulumi stack."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import typer

from app.cli.endpoints import Target
from app.cli.ports import LOOPBACK, free_ports
from app.cli.stack import forward, outputs
from app.cli.stack.outputs import Forward
from app.cli.state import STATE, is_running
from app.errors import PlatformError
from app.settings import Settings

PROJECT_FILE: Final = "Pulumi.yaml"
"""File of the folder in which Pulumi knows the selected stack."""

LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1"})
"""Hosts in a stack's addresses that stand for a tunnel."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A Ray that takes jobs."""

    target: Target
    name: str
    """What to call it in messages."""
    stack: str = ""
    """Pulumi stack that it belongs to."""
    is_here: bool = False
    """Whether its jobs read the files of this machine and run the code that is installed here."""
    tunnel: Forward | None = None
    context: str = ""
    """Context of the kubeconfig for the tunnel."""

    @asynccontextmanager
    async def reached(self) -> AsyncIterator[Target]:
        """Hold the tunnel open, where there is one, and give the address that leads to Ray."""
        if self.tunnel is None:
            yield self.target
            return
        (port,) = free_ports(1)
        tunnel = self.tunnel.model_copy(update={"local_port": port})
        async with forward.held(tunnel, context=self.context, say=lambda line: typer.echo(line, err=True)):
            yield self.target.model_copy(update={"ray_url": f"http://{LOOPBACK}:{port}"})


def find(configured: Settings, *, address: str = "", token: str = "", stack_name: str = "") -> Cluster:
    """Find the Ray that is meant.

    Args:
        configured: Addresses and tokens of the environment.
        address: Ray's dashboard; it comes before everything else.
        token: Its token, in place of the environment's or the stack's.
        stack_name: Pulumi stack; it comes before the environment and the platform of this folder.

    Raises:
        StackError: The stack cannot be asked, or it is not up.
        PlatformError: Nothing is named, and nothing runs here.
    """
    told = Target.find(configured)
    if token:
        told = told.model_copy(update={"ray_token": token})
    named = address or ("" if stack_name else configured.ray_dashboard_url or "")
    if named:
        url = _checked(named)
        return Cluster(target=told.model_copy(update={"ray_url": url}), name=url, stack=configured.stack)
    if not stack_name and is_running(STATE):
        return Cluster(target=told, name=f"{told.ray_url} (the platform of this folder)", is_here=True)
    if stack_name or Path(PROJECT_FILE).exists():
        return of_stack(outputs.outputs(stack_name, show_secrets=not token), token=token, name=stack_name)
    raise PlatformError(
        f"No platform runs in {Path.cwd()}, which holds no {PROJECT_FILE} either.",
        next_step="Start one with `manta local`, change to the folder of the stack, or name Ray with --address URL.",
    )


def of_stack(found: outputs.Outputs, *, token: str = "", name: str = "") -> Cluster:
    """The Ray of a stack, by a tunnel where its address is one.

    Args:
        found: What the stack tells.
        token: In place of the stack's own.
        name: Of the stack, in case that it does not tell.
    """
    is_tunnel = urlsplit(found.ray_dashboard_url).hostname in LOCAL_HOSTS
    return Cluster(
        target=Target(ray_url=found.ray_dashboard_url, ray_token=token or found.ray_token.get_secret_value()),
        name=f"{found.ray_dashboard_url} (stack {found.stack or name or 'selected'})",
        stack=found.stack or name,
        tunnel=next(one for one in found.forwards if one.name == "ray") if is_tunnel else None,
        context=found.context,
    )


def _checked(address: str) -> str:
    url = httpx.URL(address)
    if url.scheme not in {"http", "https"} or not url.host:
        raise PlatformError(
            f"{address!r} is no address of Ray's dashboard.", allowed="http://HOST:PORT or https://HOST"
        )
    return address.rstrip("/")

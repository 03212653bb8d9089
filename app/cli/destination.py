"""The platform that a command works with: addresses, the platform of this folder, or a Pulumi stack."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import httpx
import typer
from anyio.from_thread import start_blocking_portal

from app.cli.endpoints import Endpoints, is_mlflow_set, split_api_url
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

Part = Literal["ray", "mlflow", "serve"]
"""A part of a platform that a command calls. The tunnels of a stack have the same names."""

PARTS: Final[tuple[Part, ...]] = ("ray", "mlflow", "serve")
"""All parts of a platform."""

VARIABLES: Final[dict[Part, str]] = {
    "ray": "--address URL",
    "mlflow": "MLFLOW_TRACKING_URI",
    "serve": "MANTA_SERVE_URL",
}
"""What names each part without a stack, for error messages."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A platform that runs jobs and serves models."""

    endpoints: Endpoints
    name: str
    """Name of the platform in messages."""
    stack: str = ""
    """Pulumi stack of the platform."""
    is_local: bool = False
    """Whether its jobs see this machine's files and use this Python environment."""
    tunnels: Mapping[str, Tunnel] = field(default_factory=dict)
    """Tunnel to each part that is reachable through a tunnel only."""
    context: str = ""
    """Context of the kubeconfig for the tunnels."""

    @asynccontextmanager
    async def connect(self, *parts: Part) -> AsyncIterator[Endpoints]:
        """Yield the endpoints to use. Keep the tunnels that the parts need open while the block runs.

        Raises:
            TunnelError: `kubectl` is not installed.
        """
        urls: dict[str, str] = {}
        async with AsyncExitStack() as opened:
            for part in parts:
                if part in self.tunnels:
                    (port,) = free_ports(1)
                    tunnel = self.tunnels[part].model_copy(update={"local_port": port})
                    await opened.enter_async_context(
                        tunnels.open_tunnel(tunnel, context=self.context, report=_print_to_stderr)
                    )
                    urls[f"{part}_url"] = f"http://{LOOPBACK}:{port}"
            yield self.endpoints.model_copy(update=urls)

    @contextmanager
    def open(self, *parts: Part) -> Iterator[Endpoints]:
        """Do what `connect` does, for code that is not asynchronous: the tunnels are kept open in another thread."""
        if self.tunnels.keys().isdisjoint(parts):
            yield self.endpoints
            return
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(self.connect(*parts)) as endpoints:
            yield endpoints


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
        tunnels={"ray": tunnel},
        context=outputs.context,
    )


def find_ray(settings: Settings, *, address: str = "", token: str = "", stack: str = "") -> Destination:
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
    ray_url = address or ("" if stack else settings.ray_dashboard_url or "")
    if ray_url:
        ray_url = _check_url(ray_url)
        cluster = Destination(
            endpoints=Endpoints.resolve(settings).model_copy(update={"ray_url": ray_url}),
            name=ray_url,
            stack=settings.stack,
        )
    else:
        cluster = find(settings, "ray", stack=stack, show_secrets=not token)
    if not token:
        return cluster
    return replace(cluster, endpoints=cluster.endpoints.model_copy(update={"ray_token": token}))


def find(settings: Settings, *parts: Part, stack: str = "", show_secrets: bool = True) -> Destination:
    """Find the platform whose parts a command calls.

    A stack that is named has priority over the environment, the environment over the platform of this folder, and that
    over the stack that is selected in this folder.

    Args:
        settings: Addresses and credentials from the environment.
        parts: What the command calls.
        stack: Name of a Pulumi stack; empty if the command may go elsewhere.
        show_secrets: Whether the tokens and the password of a stack are needed.

    Raises:
        StackError: Pulumi cannot read the stack, or the stack is not up.
        PlatformError: Nothing names a platform, and none runs in this folder.
    """
    if stack:
        return from_stack(read_outputs(stack, show_secrets=show_secrets), stack=stack)
    in_environment = _parts_in_environment(settings)
    endpoints = Endpoints.resolve(settings)
    if in_environment.issuperset(parts):
        return Destination(endpoints=endpoints, name=", ".join(VARIABLES[part] for part in parts), stack=settings.stack)
    if is_platform_running(STATE_FOLDER):
        return Destination(
            endpoints=endpoints, name=f"{endpoints.ray_url} (the platform of this folder)", is_local=True
        )
    if Path(PROJECT_FILE).exists():
        return _with_environment(from_stack(read_outputs(show_secrets=show_secrets)), settings)
    if in_environment.intersection(parts):
        return Destination(endpoints=endpoints, name="the environment", stack=settings.stack)
    raise PlatformError(
        f"No platform runs in {Path.cwd()}, and the folder has no {PROJECT_FILE}.",
        next_step="Start a platform with `manta local`, change to the folder of the stack, "
        f"or name it: {', '.join(VARIABLES[part] for part in parts)}.",
    )


def from_stack(outputs: StackOutputs, *, stack: str = "") -> Destination:
    """The platform of a stack, with a tunnel to each part whose address is on localhost.

    Args:
        outputs: Outputs of the stack.
        stack: Name of the stack, used if the outputs do not contain it.
    """
    serve_url, route_prefix = split_api_url(outputs.serve_url)
    urls = {"ray": outputs.ray_dashboard_url, "mlflow": outputs.mlflow_url, "serve": serve_url}
    return Destination(
        endpoints=Endpoints(
            **{f"{part}_url": url for part, url in urls.items()},
            route_prefix=route_prefix,
            model_name=outputs.model_name,
            show_examples=outputs.show_examples,
            ray_token=outputs.ray_token.get_secret_value(),
            serve_token=outputs.serve_token.get_secret_value(),
            mlflow_user=outputs.mlflow_username,
            mlflow_password=outputs.mlflow_password.get_secret_value(),
        ),
        name=f"{outputs.ray_dashboard_url} (stack {outputs.stack or stack or 'selected'})",
        stack=outputs.stack or stack,
        tunnels={
            tunnel.name: tunnel
            for tunnel in outputs.forwards
            if urlsplit(urls.get(tunnel.name, "")).hostname in LOCAL_HOSTS
        },
        context=outputs.context,
    )


def _with_environment(platform: Destination, settings: Settings) -> Destination:
    """Replace the parts of a stack that the environment names, together with their credentials."""
    replaced = _parts_in_environment(settings)
    no_credentials = {
        **({"ray_token": ""} if "ray" in replaced else {}),
        **({"serve_token": ""} if "serve" in replaced else {}),
        **({"mlflow_user": "", "mlflow_password": ""} if "mlflow" in replaced else {}),
    }
    return replace(
        platform,
        endpoints=platform.endpoints.model_copy(update=no_credentials).with_environment(settings),
        tunnels={name: tunnel for name, tunnel in platform.tunnels.items() if name not in replaced},
    )


def _parts_in_environment(settings: Settings) -> set[Part]:
    is_set: dict[Part, bool] = {
        "ray": bool(settings.ray_dashboard_url),
        "mlflow": is_mlflow_set(settings),
        "serve": bool(settings.serve_url),
    }
    return {part for part, is_in_environment in is_set.items() if is_in_environment}


def _check_url(address: str) -> str:
    url = httpx.URL(address)
    if url.scheme not in {"http", "https"} or not url.host:
        raise PlatformError(
            f"{address!r} is not an address of Ray's dashboard.", allowed="http://HOST:PORT or https://HOST"
        )
    return address.rstrip("/")


def _print_to_stderr(line: str) -> None:
    typer.echo(line, err=True)

"""`manta forward`: tunnels to Ray, MLflow, Serve and Grafana of a stack."""

import asyncio
from typing import Annotated

import typer

from app.cli.shared_options import StackOption
from app.cli.stack import tunnels
from app.cli.stack.outputs import read_outputs


def forward(
    stack: StackOption = "",
    ray_port: Annotated[
        int | None, typer.Option(min=1, max=65535, metavar="PORT", help="Local port for Ray (default: the stack's).")
    ] = None,
    mlflow_port: Annotated[
        int | None, typer.Option(min=1, max=65535, metavar="PORT", help="Local port for MLflow (default: the stack's).")
    ] = None,
    serve_port: Annotated[
        int | None, typer.Option(min=1, max=65535, metavar="PORT", help="Local port for Serve (default: the stack's).")
    ] = None,
    grafana_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, metavar="PORT", help="Local port for Grafana, if the stack installs it."),
    ] = None,
) -> None:
    """Keep tunnels to Ray, MLflow and Serve open until Ctrl-C, and to a Grafana that the stack installs.

    Each tunnel is a `kubectl port-forward` from 127.0.0.1.
    A tunnel that drops is opened again.

    Example: manta forward --serve-port 18000
    """
    outputs = read_outputs(stack)
    ports = {"ray": ray_port, "mlflow": mlflow_port, "serve": serve_port, "grafana": grafana_port}
    selected = [
        tunnel.model_copy(update={"local_port": ports.get(tunnel.name) or tunnel.local_port})
        for tunnel in outputs.forwards
    ]
    tunnels.check_ports(selected)
    asyncio.run(tunnels.keep_all_open(selected, context=outputs.context, report=typer.echo))

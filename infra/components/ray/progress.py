"""A command beside the RayService that shows what the RayService waits for: Pulumi itself only shows `Ready=False`."""

from typing import Final

import pulumi
from pulumi_command import local

from infra.components.kubectl_script import WITH_KUBECONFIG

WATCH: Final = (
    WITH_KUBECONFIG
    + """\
.venv/bin/python -m app.cli.stack.progress --context "$MANTA_CONTEXT" --namespace "$MANTA_NAMESPACE" \\
    --name "$MANTA_RAY_SERVICE" || echo "The progress of the RayService cannot be shown."
"""
)
"""Pulumi.yaml names this virtual environment. A failed watch does not fail the update."""


def register(
    name: str,
    *,
    environment: dict[str, pulumi.Input[str]],
    triggers: list[pulumi.Input[str]],
    root: str,
    opts: pulumi.ResourceOptions,
) -> None:
    """Register the command. It runs when one of the triggers changes.

    Args:
        name: Name of the Pulumi resource.
        environment: `MANTA_CONTEXT`, `MANTA_NAMESPACE`, `MANTA_RAY_SERVICE` and `MANTA_KUBECONFIG`.
        triggers: What changes when the RayService changes.
        root: Root of the project, relative to the working directory of the program.
        opts: Options of the Pulumi resource.
    """
    local.Command(
        name,
        create=WATCH,
        environment=environment,
        triggers=triggers,
        dir=root,
        logging=local.Logging.STDERR,
        opts=opts,
    )

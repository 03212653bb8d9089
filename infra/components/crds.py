"""The CRDs of a chart, which kubectl applies. Helm would install them once and never upgrade them.

Pulumi would need most of an update's time for them: those of KubeRay are 4 MB, which its engine copies and logs at each
step, also when nothing changed. So the state holds only their digest.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi
from pulumi_command import local

from infra import charts
from infra.charts import Crd
from infra.components.kubectl_script import WITH_KUBECONFIG
from infra.config.chart import Chart
from infra.preflight import checks
from infra.preflight.cluster_state import ClusterState
from infra.preflight.versions import Product

FOLDER: Final = Path(".manta", "crds")
"""Files with CRDs, below the root of the project. The name of a file is the digest of its content."""
DIGITS: Final = 16
"""Hexadecimal digits of a digest."""
TIMEOUT_S: Final = 60
KUBECTL: Final = f"""\
kubectl() {{
    command kubectl ${{MANTA_CONTEXT:+--context "$MANTA_CONTEXT"}} --request-timeout={TIMEOUT_S}s "$@"
}}
"""
APPLY: Final = (
    WITH_KUBECONFIG
    + KUBECTL
    + f"""\
kubectl apply --server-side --force-conflicts --field-manager=manta --filename "$MANTA_CRDS" &&
    kubectl wait --for=condition=Established --timeout={TIMEOUT_S}s customresourcedefinitions $MANTA_CRD_NAMES
"""
)
"""Takes over the fields that another owner applied before."""
DELETE: Final = (
    WITH_KUBECONFIG
    + KUBECTL
    + """\
kubectl delete customresourcedefinitions $MANTA_CRD_NAMES --ignore-not-found
"""
)


@dataclass(frozen=True, kw_only=True)
class CrdsArgs:
    """Which CRDs to apply."""

    chart: Chart
    product: Product
    """What the chart installs."""
    root: Path
    """Root of the project; a relative chart path starts there."""
    cluster: ClusterState
    """The CRDs and the operators that the cluster has before this update."""
    remove: bool
    """Whether a destroy deletes the CRDs, and with them every object of their kinds in the cluster."""
    context: pulumi.Input[str]
    kubeconfig: pulumi.Input[str] | None
    """Content of a kubeconfig; None means the kubeconfig files that kubectl reads."""


def register(name: str, args: CrdsArgs, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    """Register the command that applies the CRDs. It runs again when their content changes.

    Raises:
        ChartError: The chart does not exist, or contains no CRDs.
        PreflightError: The cluster has newer CRDs.
    """
    definitions = charts.crds(args.chart, root=args.root, opts=pulumi.InvokeOptions(parent=opts.parent))
    version = charts.version(args.chart, root=args.root)
    specs = {crd.name: crd.spec for crd in definitions}
    checks.check_crds(specs, args.cluster, product=args.product, version=version)
    # No `triggers`: a trigger replaces the command, and the end of a replacement would delete the CRDs.
    return local.Command(
        name,
        create=APPLY,
        delete=DELETE if args.remove else None,
        dir=os.path.relpath(args.root),
        environment={
            "MANTA_CRDS": _write(definitions, {args.product.annotation: version}, args.root).as_posix(),
            "MANTA_CRD_NAMES": " ".join(specs),
            "MANTA_CONTEXT": args.context,
            "MANTA_KUBECONFIG": args.kubeconfig or "",
        },
        logging=local.Logging.STDERR,
        opts=opts,
    )


def _write(crds: Sequence[Crd], annotations: Mapping[str, str], root: Path) -> Path:
    """Write the CRDs to a file, and return its path below the root of the project."""
    items = [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": crd.name, "annotations": {**crd.annotations, **annotations}},
            "spec": crd.spec,
        }
        for crd in crds
    ]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, sort_keys=True)
    path = FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}.json"
    file = root / path
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(f".{os.getpid()}")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(file)
    return path

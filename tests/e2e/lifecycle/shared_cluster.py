"""What a shared cluster has before a stack comes: namespaces, a KubeRay operator, Traefik, and pods of others."""

import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from infra.components.namespaces import POD_SECURITY
from infra.names import OPERATOR
from tests.e2e.lifecycle import site_services
from tests.e2e.lifecycle.conftest import STACK
from tests.support import redis_server
from tests.support.json_object import JsonObject
from tests.support.tools import Tools
from tests.support.traffic import PredictionTraffic
from tests.support.waiting import wait_for

NAMESPACE: Final = f"manta-{STACK}"
OPERATOR_NAMESPACE: Final = "kuberay-system"
TRAEFIK: Final = "traefik"
"""Name and namespace of the proxy, and name of its IngressClass and its GatewayClass."""
HOST: Final = "manta.example.com"
HOSTS: Final = (HOST, f"ray.{HOST}", f"mlflow.{HOST}")
TLS_SECRET: Final = "site-tls"  # noqa: S105 - a name
PULL_SECRET: Final = "site-registry"  # noqa: S105 - a name
GATEWAY: Final = "public"
HTTPS_PORT: Final = 8443
RETRY_FILE: Final = "retry.yaml"
RETRY: Final = {"http": {"middlewares": {"retry": {"retry": {"attempts": 4, "initialInterval": "100ms"}}}}}
"""Settings of Traefik: up to four attempts, each at the next pod of a Service."""
COMMAND_TIMEOUT_S: Final = 240
START_TIMEOUT_S: Final = 180
CONNECT: Final = """\
import json, socket, sys, time
reached, end = set(), time.monotonic() + 20
while time.monotonic() < end:
    for place in set(sys.argv[1:]) - reached:
        host, _, port = place.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=3).close()
            reached.add(place)
        except OSError:
            pass
    time.sleep(1)
open("/dev/termination-log", "w").write(json.dumps(sorted(reached)))
"""
"""Writes those of the places HOST:PORT that accept a connection into the status of the pod. The policies of the cluster
know a new pod only after a moment, so the program tries for 20 seconds."""


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """Traefik, and the certificate that it presents."""

    address: str
    """Address of its Service."""
    tls: ssl.SSLContext

    def client(self, host: str) -> httpx.Client:
        """Return a client of one of `HOSTS`, whose requests go to Traefik."""

        def name_the_host(request: httpx.Request) -> None:
            request.extensions["sni_hostname"] = host

        hooks = {"request": [name_the_host]}
        return httpx.Client(
            base_url=f"https://{self.address}", headers={"Host": host}, verify=self.tls, event_hooks=hooks, timeout=60
        )

    def traffic(self, path: str, message: JsonObject) -> PredictionTraffic:
        """Return predictions through Traefik at a constant rate."""
        return PredictionTraffic(f"https://{self.address}{path}", message, host=HOST, tls=self.tls)


@contextmanager
def prepared(folder: Path, machine: Tools, *, node: str, node_address: str) -> Iterator[Proxy]:
    """Prepare the cluster, and remove everything afterwards.

    Args:
        folder: Folder for certificates and manifests.
        machine: The tools.
        node: Node of Traefik.
        node_address: Address of the node, which Traefik writes into the status of each Ingress.
    """
    authorities = redis_server.create_certificates(folder, *HOSTS)
    tls = {"tls.crt": authorities.read_text(), "tls.key": (folder / "key.pem").read_text()}
    registry = {".dockerconfigjson": json.dumps({"auths": {"registry.example.com": {"auth": "c2l0ZTpzaXRl"}}})}
    try:
        if crds := machine.site.get("gatewayCrds"):
            machine.kubectl("apply", "--server-side", "-f", str(crds), timeout_s=COMMAND_TIMEOUT_S)
        objects = [
            _namespace(NAMESPACE, POD_SECURITY),
            _namespace(OPERATOR_NAMESPACE),
            _namespace(TRAEFIK),
            site_services.secret(TLS_SECRET, NAMESPACE, tls) | {"type": "kubernetes.io/tls"},
            site_services.secret(TLS_SECRET, TRAEFIK, tls) | {"type": "kubernetes.io/tls"},
            site_services.secret(PULL_SECRET, NAMESPACE, registry) | {"type": "kubernetes.io/dockerconfigjson"},
            *_traefik(str(machine.site["traefikImage"]), node, node_address, has_gateway=bool(crds)),
        ]
        site_services.apply(machine, folder, objects)
        chart = machine.charts.get("kuberayChart", "kuberay-operator")
        _helm(machine, "install", OPERATOR, chart, "--wait", f"--timeout={START_TIMEOUT_S}s")
        address = machine.kubectl("get", "service", TRAEFIK, "-n", TRAEFIK, "-o", "jsonpath={.spec.clusterIP}")
        wait_for("Traefik", lambda: _is_open(address), timeout_s=START_TIMEOUT_S)
        yield Proxy(address=address, tls=ssl.create_default_context(cafile=str(authorities)))
    finally:
        _helm(machine, "uninstall", OPERATOR, "--ignore-not-found")
        options = ("--ignore-not-found", "--wait=false")
        machine.kubectl("delete", "clusterrolebinding,ingressclass", TRAEFIK, *options)
        machine.kubectl("delete", "namespace", NAMESPACE, OPERATOR_NAMESPACE, TRAEFIK, *options)


def reached(machine: Tools, image: str, places: list[str], *, namespace: str) -> set[str]:
    """Return those of the places HOST:PORT that a pod of a namespace can connect to.

    Args:
        machine: The tools.
        image: An image with Python.
        places: The places.
        namespace: Namespace of the pod.
    """
    options = ("-n", namespace, "--image", image, "--image-pull-policy=IfNotPresent", "--restart=Never")
    command = ("--command", "--", "python", "-c", CONNECT, *places)
    machine.kubectl("run", "outside", *options, *command)
    try:
        finished = ("wait", "pod/outside", "-n", namespace, "--for=jsonpath={.status.phase}=Succeeded")
        machine.kubectl(*finished, f"--timeout={COMMAND_TIMEOUT_S}s", timeout_s=COMMAND_TIMEOUT_S + 20)
        message = "jsonpath={.status.containerStatuses[0].state.terminated.message}"
        return set(json.loads(machine.kubectl("get", "pod", "outside", "-n", namespace, "-o", message)))
    finally:
        machine.kubectl("delete", "pod", "outside", "-n", namespace, "--force", "--grace-period=0", timeout_s=60)


def _namespace(name: str, labels: dict[str, str] | None = None) -> JsonObject:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}}


def _traefik(image: str, node: str, node_address: str, *, has_gateway: bool) -> Iterator[JsonObject]:
    """Objects of Traefik: <https://doc.traefik.io/traefik/reference/install-configuration/>.

    It waits for a connection to a pod for a second, and then tries another pod.
    """
    selector = {"app": TRAEFIK}
    arguments = [
        f"--entrypoints.websecure.address=:{HTTPS_PORT}",
        "--entrypoints.websecure.http.tls=true",
        "--entrypoints.websecure.transport.respondingtimeouts.readtimeout=180s",
        "--entrypoints.websecure.http.middlewares=retry@file",
        "--serverstransport.forwardingtimeouts.dialtimeout=1s",
        f"--providers.file.filename=/etc/traefik/{RETRY_FILE}",
        "--providers.kubernetesingress=true",
        f"--providers.kubernetesingress.ingressendpoint.ip={node_address}",
    ]
    if has_gateway:
        arguments.append("--providers.kubernetesgateway=true")
        yield {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": TRAEFIK},
            "spec": {"controllerName": "traefik.io/gateway-controller"},
        }
        yield {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": GATEWAY, "namespace": TRAEFIK},
            "spec": {
                "gatewayClassName": TRAEFIK,
                "listeners": [
                    {
                        "name": "https",
                        "protocol": "HTTPS",
                        "port": HTTPS_PORT,
                        "tls": {"certificateRefs": [{"name": TLS_SECRET}]},
                        "allowedRoutes": {"namespaces": {"from": "All"}},
                    }
                ],
            },
        }
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": TRAEFIK, "namespace": TRAEFIK}}
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": TRAEFIK},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": TRAEFIK, "namespace": TRAEFIK}],
    }
    yield {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": TRAEFIK},
        "spec": {"controller": "traefik.io/ingress-controller"},
    }
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": TRAEFIK, "namespace": TRAEFIK},
        "data": {RETRY_FILE: json.dumps(RETRY)},
    }
    container = {
        "name": TRAEFIK,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/traefik"}],
    }
    pod = {
        "serviceAccountName": TRAEFIK,
        "nodeName": node,
        "containers": [container],
        "volumes": [{"name": "settings", "configMap": {"name": TRAEFIK}}],
    }
    yield {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": TRAEFIK, "namespace": TRAEFIK},
        "spec": {
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": selector}, "spec": pod},
        },
    }
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": TRAEFIK, "namespace": TRAEFIK},
        "spec": {"selector": selector, "ports": [{"port": 443, "targetPort": HTTPS_PORT}]},
    }


def _helm(machine: Tools, *arguments: str) -> None:
    program = shutil.which("helm", path=machine.path) or "helm"
    command = [program, *arguments, "--namespace", OPERATOR_NAMESPACE]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S)


def _is_open(address: str) -> bool:
    try:
        httpx.get(f"https://{address}", verify=False, timeout=5)  # noqa: S501 - only whether something answers
    except httpx.HTTPError:
        return False
    return True

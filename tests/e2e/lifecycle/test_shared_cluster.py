"""A stack in a cluster of others: their operator, namespaces, pull secret and proxy, and workers that only train."""

import json
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import pytest

from infra import names
from tests.e2e.lifecycle import nodes, platform, shared_cluster, site_services
from tests.e2e.lifecycle.platform import DESTROY_S, RECOVERY_S, Figure
from tests.e2e.lifecycle.shared_cluster import HOST, HOSTS, NAMESPACE, TRAEFIK, Proxy
from tests.support import redis_server, sign_in
from tests.support.json_object import JsonObject
from tests.support.live_stack import LiveStack
from tests.support.tools import Tools
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(2400)

PREDICT: Final = f"{names.ROUTE_PREFIX}/predict"
ALLOWED: Final = {
    f"{names.head_service(names.RAY_SERVICE)}.{NAMESPACE}:{names.DASHBOARD_PORT}",
    f"{names.serve_service(names.RAY_SERVICE)}.{NAMESPACE}:{names.SERVE_PORT}",
    f"mlflow.{NAMESPACE}:{names.MLFLOW_PORT}",
}
"""What the namespace of the proxy may reach."""
DENIED: Final = {
    f"redis.{NAMESPACE}:{names.REDIS_PORT}",
    f"{names.head_service(names.RAY_SERVICE)}.{NAMESPACE}:{names.GCS_PORT}",
    f"{names.head_service(names.RAY_SERVICE)}.{NAMESPACE}:10001",
    f"{names.head_service(names.RAY_SERVICE)}.{NAMESPACE}:8080",
}
"""Redis, GCS, Ray's client port and metrics."""
PEOPLE: Final[dict[str, JsonObject]] = {
    "ada": {"email": "ada@example.com", "name": "Ada", "groups": ["ml"]},
    "eve": {"email": "eve@example.com", "name": "Eve", "groups": ["sales"]},
}
EXPERIMENTS: Final = "/api/2.0/mlflow/experiments/search?max_results=1"
CUT_S: Final = 120
CUT_SHARE: Final = 0.05
"""Largest share of the requests that may fail while the network of a node is cut."""
IDLE_TIMEOUT_S: Final = 400.0
"""Longest time until the autoscaler has removed an idle worker."""


@pytest.fixture(scope="module", autouse=True)
def proxy(machine: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The proxy of the site. The cluster is prepared before the stack comes, and cleaned after it."""
    if "traefikImage" not in machine.site:
        pytest.skip("MANTA_E2E_SITE has no traefikImage, an image of Traefik that the cluster has or can pull")
    if shutil.which("helm", path=machine.path) is None:
        pytest.skip("helm is not on PATH")
    folder = tmp_path_factory.mktemp("shared")
    node, address = nodes.node_names(machine)[0], nodes.internal_address(machine)
    with shared_cluster.prepared(folder, machine, node=node, node_address=address) as proxy:
        yield proxy


def test_up_uses_what_the_cluster_has(stack: LiveStack, machine: Tools, proxy: Proxy, figure: Figure) -> None:
    stack.configure(
        createNamespaces=False,
        installOperator=False,
        installCrds=False,
        operatorNamespace=shared_cluster.OPERATOR_NAMESPACE,
        imagePullSecret=shared_cluster.PULL_SECRET,
        access="ingress",
        host=HOST,
        tls=shared_cluster.TLS_SECRET,
        ingressClass=TRAEFIK,
        ingressNamespace=TRAEFIK,
        trainWorkers=1,
    )

    update = stack.up()

    figure(f"up in a shared cluster: {update.duration_s:.0f} s, {update.changes}")
    _wait_for_routes(proxy, figure)
    for part in ("head", "worker", "redis", "mlflow"):
        for pod in platform.pods(machine, stack, part).values():
            assert {"name": shared_cluster.PULL_SECRET} in pod["spec"]["imagePullSecrets"]


def test_a_job_gets_a_worker_of_its_own_that_goes_away_afterwards(
    stack: LiveStack, machine: Tools, proxy: Proxy, tmp_path: Path, figure: Figure
) -> None:
    serving = _workers(machine, stack)
    assert {worker["group"] for worker in serving.values()} == {names.WORKER_GROUP}

    with platform.run_forward(stack) as ports:
        address = f"http://127.0.0.1:{ports['ray']}"
        wait_for("the tunnel to Ray", lambda: platform.is_answering(ports["ray"]), timeout_s=RECOVERY_S)
        output = platform.train(stack, tmp_path, address)
    trained = _workers(machine, stack)

    assert '"gate": "passed"' in output
    assert {worker["group"] for worker in trained.values()} == {names.WORKER_GROUP, "train"}
    wait_for("the worker's end", lambda: _workers(machine, stack).keys() == serving.keys(), timeout_s=IDLE_TIMEOUT_S)
    restarts = sum(worker["restarts"] for worker in _workers(machine, stack).values())
    figure(f"a worker came for the training and went; {restarts} restarts of the worker that serves")
    assert restarts == 0
    with proxy.client(HOST) as api:
        wait_for("the model", lambda: api.get(f"{names.ROUTE_PREFIX}/model").json()["model_loaded"], timeout_s=60)


def test_an_upgrade_after_autoscaling_fails_no_request_through_the_proxy(
    stack: LiveStack, machine: Tools, proxy: Proxy, figure: Figure
) -> None:
    with proxy.traffic(PREDICT, _row(proxy)) as traffic:
        stack.configure(**(machine.resize or {"cpus": 2}))
        update = stack.up()
        platform.wait_for_one_cluster(machine, stack)

    figure(f"upgrade: {update.duration_s:.0f} s, {traffic.failed} of {traffic.sent} failed {dict(traffic.failures)}")
    assert traffic.failed == 0


def test_a_proxy_that_retries_hides_that_the_network_of_a_node_is_cut(
    stack: LiveStack, machine: Tools, proxy: Proxy, figure: Figure
) -> None:
    if not {"cut", "heal"} <= machine.site.keys():
        pytest.skip("MANTA_E2E_SITE has no commands `cut` and `heal`, which take the network of a node away")
    node, *others = nodes.node_names(machine)
    if not others:
        pytest.skip("the cluster has one node, and this test cuts one of two")
    stack.configure(replicas=2, minWorkers=2, maxWorkers=2)
    stack.up()
    platform.wait_for_one_cluster(machine, stack)
    assert {pod["spec"]["nodeName"] for pod in platform.pods(machine, stack, "worker").values()} == {node, *others}

    with proxy.traffic(PREDICT, _row(proxy)) as traffic, nodes.network_cut(machine):
        time.sleep(CUT_S)
    wait_for("the nodes", partial(nodes.are_ready, machine), timeout_s=RECOVERY_S)
    platform.wait_for_one_cluster(machine, stack)

    figure(
        f"behind a proxy that retries, cut for {CUT_S} s: {traffic.failed} of {traffic.sent} failed {traffic.failures}"
    )
    assert traffic.failed < CUT_SHARE * traffic.sent


def test_pods_of_others_reach_only_what_the_stack_publishes(stack: LiveStack, machine: Tools, figure: Figure) -> None:
    image, places = stack.outputs()["image"], sorted(ALLOWED | DENIED)

    reached = {
        namespace: shared_cluster.reached(machine, image, places, namespace=namespace)
        for namespace in ("default", TRAEFIK)
    }

    figure(f"of {len(places)} places, a pod outside reaches {len(reached['default'])}, one beside the proxy {ALLOWED}")
    assert reached == {"default": set(), TRAEFIK: ALLOWED}


def test_the_same_stack_is_published_by_routes_of_a_gateway(
    stack: LiveStack, machine: Tools, proxy: Proxy, figure: Figure
) -> None:
    if "gatewayCrds" not in machine.site:
        pytest.skip("MANTA_E2E_SITE has no gatewayCrds, a folder with the CRDs of the Gateway API")
    stack.configure(access="gateway", gateway=f"{TRAEFIK}/{shared_cluster.GATEWAY}")

    update = stack.up()

    figure(f"from Ingresses to HTTPRoutes: {update.duration_s:.0f} s, {update.changes}")
    _wait_for_routes(proxy, figure)
    assert json.loads(machine.kubectl("get", "ingresses", "-n", NAMESPACE, "-o", "json"))["items"] == []
    with proxy.client(HOST) as api:
        assert api.post(PREDICT, json=_row(proxy)).raise_for_status().json()["predictions"]
    assert platform.find_problems(stack)["gateway"]["status"] == "ok"


def test_people_sign_in_to_mlflow_through_the_proxy_and_jobs_keep_their_password(
    stack: LiveStack, machine: Tools, proxy: Proxy, tmp_path: Path, figure: Figure
) -> None:
    address = site_services.address_towards(nodes.internal_address(machine))
    certificate = redis_server.create_certificates(tmp_path, address)
    with sign_in.provider(tmp_path, certificate, PEOPLE, host=address) as discovery_url:
        stack.configure(
            mlflowOidc={"discoveryUrl": discovery_url, "clientId": "mlflow", "groups": ["ml"]},
            mlflowOidcCa=certificate.read_text(),
        )
        stack.configure_secrets(mlflowOidcClientSecret="a [secret] of? the*site")
        before = _workers(machine, stack)
        update = stack.up()

        figure(f"sign-in with OIDC: {update.duration_s:.0f} s, {update.changes}")
        statuses = {}
        for account in PEOPLE:
            with proxy.client(HOSTS[2]) as mlflow:
                callback = sign_in.sign_in_at_public_address(mlflow, certificate, account)
                statuses[account] = mlflow.get(EXPERIMENTS).status_code
    assert callback == f"https://{HOSTS[2]}/callback"
    assert statuses == {"ada": httpx.codes.OK, "eve": httpx.codes.UNAUTHORIZED}
    assert _workers(machine, stack) == before
    with platform.run_forward(stack) as ports:
        wait_for("the tunnel to Ray", lambda: platform.is_answering(ports["ray"]), timeout_s=RECOVERY_S)
        output = platform.train(stack, tmp_path, f"http://127.0.0.1:{ports['ray']}")
    assert '"version": "' in output  # the gate refuses a version that is as good as the champion
    assert platform.find_problems(stack)["ray > mlflow"]["status"] == "ok"


def test_a_destroy_leaves_what_the_cluster_had(stack: LiveStack, machine: Tools, figure: Figure) -> None:
    duration_s = stack.destroy()

    figure(f"destroy in a shared cluster: {duration_s:.0f} s")
    assert duration_s < DESTROY_S
    kinds = "pods,services,statefulsets,deployments,rayservices,rayclusters,ingresses,persistentvolumeclaims"
    wait_for("an empty namespace", lambda: not _items(machine, kinds, NAMESPACE), timeout_s=120)
    secrets = {item["metadata"]["name"] for item in _items(machine, "secrets", NAMESPACE)}
    # Helm does not delete what a hook of a chart has created.
    assert secrets == {shared_cluster.TLS_SECRET, shared_cluster.PULL_SECRET, "mlflow-flask-server-secret-key"}
    assert len(_items(machine, "deployments", shared_cluster.OPERATOR_NAMESPACE)) == 1


def _wait_for_routes(proxy: Proxy, figure: Figure) -> None:
    """Wait until the proxy leads to the service, which answers, and to Ray and MLflow, which ask for credentials."""
    seen: list[list[int]] = []

    def are_routed() -> bool:
        statuses = _statuses(proxy)
        if statuses not in seen:
            seen.append(statuses)
        return statuses == [httpx.codes.OK, httpx.codes.UNAUTHORIZED, httpx.codes.UNAUTHORIZED]

    try:
        wait_for("the routes", are_routed, timeout_s=RECOVERY_S)
    finally:
        figure(f"statuses of the service, Ray and MLflow through the proxy, in order: {seen}")


def _statuses(proxy: Proxy) -> list[int]:
    """Statuses of the service, of Ray and of MLflow through the proxy, without credentials."""
    paths = (f"{names.ROUTE_PREFIX}/healthz", "/api/version", "/")
    statuses = []
    for host, path in zip(HOSTS, paths, strict=True):
        with proxy.client(host) as client:
            statuses.append(client.get(path).status_code)
    return statuses


def _row(proxy: Proxy) -> JsonObject:
    """A prediction of one row."""
    with proxy.client(HOST) as api:
        model = api.get(f"{names.ROUTE_PREFIX}/model").raise_for_status().json()
    return {"features": model["example"]["features"][:1]}


def _workers(machine: Tools, stack: LiveStack) -> dict[str, JsonObject]:
    """Group and restarts of each Ray worker, by UID."""
    return {
        uid: {
            "group": pod["metadata"]["labels"]["ray.io/group"],
            "restarts": sum(status["restartCount"] for status in pod["status"].get("containerStatuses", [])),
        }
        for uid, pod in platform.pods(machine, stack, "worker").items()
    }


def _items(machine: Tools, kinds: str, namespace: str) -> list[JsonObject]:
    items: list[JsonObject] = json.loads(machine.kubectl("get", kinds, "-n", namespace, "-o", "json"))["items"]
    return items

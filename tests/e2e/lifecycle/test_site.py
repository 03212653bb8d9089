"""A stack on two nodes with the namespaces and the data services of a site: drains, a lost network, new credentials."""

import secrets
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.e2e.lifecycle import nodes, platform, site_services
from tests.e2e.lifecycle.conftest import STACK
from tests.e2e.lifecycle.platform import DESTROY_S, RECOVERY_S, Figure
from tests.e2e.lifecycle.site_services import SiteServices
from tests.support.json_object import JsonObject
from tests.support.live_stack import LiveStack
from tests.support.tools import Tools
from tests.support.traffic import PredictionTraffic
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(2400)

NAMESPACES = (f"manta-{STACK}", f"manta-{STACK}-operator")
POD_SECURITY = {"pod-security.kubernetes.io/enforce": "restricted"}
CUT_S = 120
CUT_SHARE = 0.5
"""Largest share of the requests that may fail while the network of a node is cut. Kubernetes notices the cut after
about 45 s. Until then, it sends half of the requests to the lost worker."""
PREDICT_TOKENS = [secrets.token_hex(16) for _ in range(2)]


@pytest.fixture(scope="module", autouse=True)
def services(machine: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteServices]:
    """The data services and the namespaces of the site. They start before the stack, so they end after it."""
    folder = tmp_path_factory.mktemp("site")
    node, *others = nodes.nodes(machine)
    if not others:
        pytest.skip("the cluster has one node, and these tests drain and cut one of two")
    addresses = {address["type"]: address["address"] for address in node["status"]["addresses"]}
    with site_services.running(
        folder, machine, node=node["metadata"]["name"], node_address=addresses["InternalIP"]
    ) as services:
        login = {"AWS_ACCESS_KEY_ID": "site", "AWS_SECRET_ACCESS_KEY": "site", "AWS_DEFAULT_REGION": "us-east-1"}
        objects = [
            *(_namespace(name) for name in NAMESPACES),
            site_services.secret(site_services.ARTIFACT_SECRET, NAMESPACES[0], login),
        ]
        try:
            site_services.apply(machine, folder, objects)
            yield services
        finally:
            machine.kubectl("delete", "namespace", *NAMESPACES, "--ignore-not-found", "--wait=false")


def test_the_first_up_trains_and_predicts_with_the_services_of_the_site(
    stack: LiveStack, services: SiteServices, tmp_path: Path, figure: Figure
) -> None:
    stack.configure(
        createNamespaces=False, predictNeedsToken=True, minWorkers=2, maxWorkers=2, replicas=2, **services.settings
    )
    stack.configure_secrets(
        postgresPassword=site_services.POSTGRES_PASSWORD,
        redisPassword=site_services.REDIS_PASSWORD,
        predictTokens=PREDICT_TOKENS[0],
    )

    update = stack.up()
    output = platform.train(stack, tmp_path)
    platform.load_model(stack)
    prediction = platform.predict(stack)

    figure(f"up with services of the site: {update.duration_s:.0f} s, {update.changes}")
    assert '"gate": "passed"' in output
    assert prediction["predictions"]
    assert services.sql("SELECT count(*) FROM model_versions", database="mlflow") == "1"
    assert f"<Key>{site_services.ARTIFACT_PREFIX}/" in services.artifacts()
    assert services.redis_admin().dbsize() > 0


def test_the_doctor_reports_the_parts_and_the_services_of_the_site_as_ok(stack: LiveStack) -> None:
    findings = platform.find_problems(stack)

    parts = ("operator", "mlflow", "ray head", "ray workers", "ray service", "ray > redis", "ray > mlflow")
    assert {name: findings[name]["status"] for name in parts} == dict.fromkeys(parts, "ok")
    assert "redis" not in findings


@pytest.mark.parametrize("index", [0, 1], ids=["first", "second"])
def test_a_drain_ends_by_itself_and_fails_no_request(
    stack: LiveStack, machine: Tools, figure: Figure, index: int
) -> None:
    node = nodes.node_names(machine)[index]
    parts = _parts_on(machine, stack, node)
    assert "worker" in parts, "the drain would move no worker"

    with platform.prediction_traffic(stack) as traffic, nodes.drained(machine, node) as drained_s:
        platform.wait_for_one_cluster(machine, stack)

    figure(f"node with {', '.join(parts)} drained: {drained_s:.0f} s, {_failures(traffic)}")
    assert traffic.failed == 0


def test_the_service_comes_back_by_itself_after_the_network_of_a_node_was_cut(
    stack: LiveStack, machine: Tools, figure: Figure
) -> None:
    if not {"cut", "heal"} <= machine.site.keys():
        pytest.skip("MANTA_E2E_SITE has no commands `cut` and `heal`, which take the network of a node away")
    # The drains have left all pods on the first node. A new worker goes to the other node.
    platform.kill_pod(machine, stack, "worker", timeout_s=RECOVERY_S)
    parts = _parts_on(machine, stack, nodes.node_names(machine)[-1])
    assert "worker" in parts, "the cut would reach no worker"
    outputs = stack.outputs()

    with platform.prediction_traffic(stack) as traffic, nodes.network_cut(machine):
        time.sleep(CUT_S)
    healed_s = time.monotonic()
    with platform.prediction_traffic(stack) as traffic_afterwards:
        wait_for("the nodes", partial(nodes.are_ready, machine), timeout_s=RECOVERY_S)
        platform.wait_for_one_cluster(machine, stack)
        wait_for("Serve", partial(platform.is_serving, outputs), timeout_s=RECOVERY_S)
    recovered_s = time.monotonic() - healed_s

    figure(f"network of the node with {', '.join(parts)} cut for {CUT_S} s: {_failures(traffic)}")
    figure(f"afterwards: complete after {recovered_s:.0f} s, {_failures(traffic_afterwards)}")
    assert traffic.failed < CUT_SHARE * traffic.sent
    assert platform.predict(stack)["predictions"]


def test_no_request_fails_while_the_tokens_of_the_service_change(
    stack: LiveStack, machine: Tools, figure: Figure
) -> None:
    old = stack.outputs()["serveToken"]
    changes = {
        "serveToken": secrets.token_hex(16),
        "previousServeToken": old,
        "predictTokens": ",".join(PREDICT_TOKENS),
    }

    _change_without_failures(stack, machine, figure, changes, token=PREDICT_TOKENS[0])

    accepted = (old, changes["serveToken"], *PREDICT_TOKENS)
    assert [_predict_status(stack, token) for token in accepted] == [httpx.codes.OK] * len(accepted)
    assert _predict_status(stack, secrets.token_hex(16)) == httpx.codes.UNAUTHORIZED


def test_no_request_fails_while_the_password_of_redis_changes(
    stack: LiveStack, machine: Tools, services: SiteServices, figure: Figure
) -> None:
    client, new = services.redis_admin(), secrets.token_hex(16)
    client.acl_setuser("default", enabled=True, passwords=[f"+{new}"])

    _change_without_failures(stack, machine, figure, {"redisPassword": new})
    client.acl_setuser("default", enabled=True, passwords=[f"-{site_services.REDIS_PASSWORD}"])

    assert platform.find_problems(stack)["ray > redis"]["status"] == "ok"


def test_no_request_fails_while_the_password_of_mlflow_changes(
    stack: LiveStack, machine: Tools, figure: Figure
) -> None:
    outputs, new = stack.outputs(), secrets.token_hex(16)

    _change_without_failures(stack, machine, figure, {"mlflowPassword": new})

    statuses = [
        httpx.get(
            f"{outputs['mlflowUrl']}/api/2.0/mlflow/experiments/search",
            params={"max_results": "1"},
            auth=(outputs["mlflowUsername"], password),
        ).status_code
        for password in (new, outputs["mlflowPassword"])
    ]
    assert statuses == [httpx.codes.OK, httpx.codes.UNAUTHORIZED]


def test_no_request_fails_while_the_password_of_postgres_changes(
    stack: LiveStack, machine: Tools, services: SiteServices, figure: Figure
) -> None:
    new = f"{site_services.POSTGRES_PASSWORD}-new"
    services.sql(f"ALTER ROLE mlflow PASSWORD '{new}'")

    _change_without_failures(stack, machine, figure, {"postgresPassword": new})

    assert platform.load_model(stack)["model_loaded"] is True


def test_a_destroy_after_a_change_of_rays_token_leaves_nothing(
    stack: LiveStack, machine: Tools, services: SiteServices, figure: Figure
) -> None:
    outputs, new = stack.outputs(), secrets.token_hex(16)

    _change_without_failures(stack, machine, figure, {"rayToken": new})
    is_accepted = [platform.is_serving(stack.outputs()), platform.is_serving(outputs)]
    duration_s = stack.destroy()

    figure(f"destroy after a change of Ray's token: {duration_s:.0f} s")
    assert is_accepted == [True, False]
    assert duration_s < DESTROY_S
    namespaces = [f"Namespace {name}" for name in NAMESPACES]
    wait_for("a clean cluster", lambda: platform.leftovers(machine, stack) == namespaces, timeout_s=60)
    # A pod of the site's namespace may take its grace period to end.
    wait_for("the end of all pods", lambda: not _all_pods(machine, stack), timeout_s=120)
    assert services.redis_admin().dbsize() == 0


def _all_pods(machine: Tools, stack: LiveStack) -> list[str]:
    return [pod for part in platform.SELECTORS for pod in platform.pods(machine, stack, part)]


def _namespace(name: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": POD_SECURITY}}


def _change_without_failures(
    stack: LiveStack, machine: Tools, figure: Figure, changes: dict[str, str], *, token: str = ""
) -> None:
    """Change credentials with `pulumi up` under load, and check that no prediction failed."""
    with platform.prediction_traffic(stack, token=token) as traffic:
        stack.configure_secrets(**changes)
        update = stack.up()
        # Until the old head has ended, the node port of Ray leads to either head.
        platform.wait_for_one_cluster(machine, stack)

    figure(f"changed {', '.join(changes)}: {update.duration_s:.0f} s, {_failures(traffic)}")
    assert traffic.failed == 0


def _predict_status(stack: LiveStack, token: str) -> int:
    """Return the status of a prediction with a token. 401: the service refuses the token, whatever the rows are."""
    url, headers = stack.outputs()["serveUrl"], {"Authorization": f"Bearer {token}"}
    rows = httpx.get(f"{url}/model", headers=headers, timeout=60).json()
    message = {"features": (rows.get("example") or {}).get("features", [])[:1]}
    return httpx.post(f"{url}/predict", json=message, headers=headers, timeout=60).status_code


def _parts_on(machine: Tools, stack: LiveStack, node: str) -> list[str]:
    """Return the parts of the platform that have a pod on a node."""
    return [
        part
        for part in platform.SELECTORS
        if any(pod["spec"].get("nodeName") == node for pod in platform.pods(machine, stack, part).values())
    ]


def _failures(traffic: PredictionTraffic) -> str:
    return f"{traffic.failed} of {traffic.sent} failed {dict(traffic.failures)}"

"""A real API server with KubeRay's CRDs, and the objects that the program registers for it."""

import os
from collections.abc import Iterator

import pytest
import yaml

from infra import names
from infra.charts import Loader
from tests.support import crds, kubernetes
from tests.support.engine import Record
from tests.support.kubernetes import Api
from tests.support.program import Program

NAMESPACE = f"manta-e2e-{os.getpid()}"
"""Two runs on one cluster at the same time do not delete each other's namespace."""
ROLE = {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/manta"}
CLIENT = {"azure.workload.identity/client-id": "00000000-0000-0000-0000-000000000000"}
SITE: dict[str, object] = {
    "proxy": {"http": "http://proxy.example.com:3128", "https": "http://proxy.example.com:3128"},
    "extraEgress": [{"cidr": "10.1.0.0/16", "ports": [9000]}, {"cidr": "2001:db8::/32", "protocol": "UDP"}],
    "monitoringNamespace": "monitoring",
    "webhookSecret": "a-secret-of-the-webhook",
    "predictNeedsToken": True,
    "trainWorkers": 2,
}
"""Keys with which a site fits a stack to its network."""
STACKS: dict[str, tuple[str, dict[str, object]]] = {
    "dev": ("dev", {}),
    "prod": ("prod", {}),
    "eks": (
        "prod",
        {
            "workloadIdentity": "eks-irsa",
            "mlflowServiceAccountAnnotations": ROLE,
            "rayServiceAccountAnnotations": ROLE,
        },
    ),
    "eks-pod-identity": ("prod", SITE | {"workloadIdentity": "eks-pod-identity"}),
    "gke": ("prod", {"workloadIdentity": "gke", "artifactRoot": "gs://bucket/path"}),
    "aks": (
        "prod",
        {
            "workloadIdentity": "aks",
            "artifactRoot": "wasbs://models@account.blob.core.windows.net/path",
            "mlflowServiceAccountAnnotations": CLIENT,
            "rayServiceAccountAnnotations": CLIENT,
        },
    ),
}
"""Stacks whose objects the API server judges: a stack of the project, and the keys that a cloud asks for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test time to start a cluster, and skip the tests whose CRDs are missing."""
    for item in items:
        item.add_marker(pytest.mark.timeout(kubernetes.START_TIMEOUT_S + 600))
        if "api" in getattr(item, "fixturenames", ()):
            item.add_marker(crds.needed)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Exit with code 5 when every test was skipped, because nothing was checked."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or exitstatus != pytest.ExitCode.OK:
        return
    if reporter.stats.get("skipped") and not reporter.stats.get("passed"):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
        reporter.write_line("every test was skipped: nothing has been checked (exit code 5)", red=True)


@pytest.fixture(scope="session")
def api() -> Api:
    """API server that has KubeRay's CRDs."""
    api = kubernetes.find_or_start()
    api.apply(yaml.load(text, Loader=Loader) for text in crds.files().values())  # noqa: S506  (a safe loader)
    return api


@pytest.fixture(scope="session")
def program(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Program with the real CRDs in its chart. It replaces KUBECONFIG, so `api` must have read it before."""
    assert api.environment
    program = Program(tmp_path_factory.mktemp("e2e"))
    for name, text in crds.files().items():
        program.write(f"kuberay/crds/{name}", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(program.kubeconfig))
        yield program


@pytest.fixture(scope="session")
def namespaces(api: Api, program: Program) -> Iterator[list[str]]:
    """Both namespaces with their Pod Security level, created before the tests and deleted afterwards."""
    record = program.deploy(namespace=NAMESPACE)
    api.apply(resource.inputs for resource in record.of_type("kubernetes:core/v1:Namespace"))
    created = [NAMESPACE, names.operator_namespace(NAMESPACE)]
    yield created
    api.run("kubectl", "delete", "namespace", "--wait=false", *created)


@pytest.fixture(params=STACKS)
def record(request: pytest.FixtureRequest, program: Program, namespaces: list[str]) -> Record:
    """Resources that the program registers for a stack, in the existing namespaces."""
    assert namespaces
    stack, changes = STACKS[request.param]
    common = {"namespace": NAMESPACE, "kuberayChart": "./kuberay", "trainSchedule": "@daily"}
    return program.deploy(stack, **common, **changes)

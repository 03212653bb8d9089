"""A real API server with KubeRay's CRDs, and the objects that the program registers for it."""

from collections.abc import Iterator

import pytest
import yaml

from infra import names
from infra.charts import LOADER
from tests.support import crds, kubernetes
from tests.support.engine import Record
from tests.support.kubernetes import Api
from tests.support.program import Program

NAMESPACE = "manta-e2e-dry-run"


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
    api.apply(yaml.load(text, Loader=LOADER) for text in crds.files().values())  # noqa: S506  (a safe loader)
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


@pytest.fixture(params=["dev", "prod"])
def record(request: pytest.FixtureRequest, program: Program, namespaces: list[str]) -> Record:
    """Resources that the program registers for a stack, in the existing namespaces."""
    assert namespaces
    return program.deploy(request.param, namespace=NAMESPACE, kuberayChart="./kuberay", trainSchedule="@daily")

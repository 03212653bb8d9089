"""The stack of the lifecycle tests, and the measurements that they print."""

import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.lifecycle import models_by_name, platform
from tests.support import rollout_models, tools
from tests.support.live_rollouts import RolloutPlatform
from tests.support.live_stack import LiveStack
from tests.support.many_models import ManyModels
from tests.support.rollout_models import Challengers
from tests.support.tools import Tools

STACK = "e2e"
FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def figure(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Returns a function that adds a line to the measurements at the end of the test report."""
    return pytestconfig.stash.setdefault(FIGURES, []).append


@pytest.fixture(scope="session")
def machine() -> Tools:
    """The tools of these tests; skips the tests if something is missing, and names it."""
    machine = tools.find()
    if missing := machine.missing():
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    return machine


@pytest.fixture(scope="module")
def stack(machine: Tools, request: pytest.FixtureRequest) -> Iterator[LiveStack]:
    """A configured stack without resources. It is destroyed at the end; `--keep-failed` keeps it after a failure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", machine.path)
        # Later runs clear pytest's temporary folder, and `pulumi destroy` needs the state of the stack.
        folder = Path(tempfile.mkdtemp(prefix="manta-e2e-"))
        live_stack = LiveStack(folder, machine, STACK)
        context = machine.context()
        address = machine.kubectl(
            "get", "nodes", "-o", "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}"
        )
        live_stack.configure(
            context=context,
            localContexts=[context],
            namespace=f"manta-{STACK}",
            access="nodePort",
            host=address,
            maxWorkers=1,
            allowPickle=True,
            predictionLog="mlflow",
            predictionLogRowsPerSecond=0,  # the tests look for every request in the log
            driftSchedule="0 0 1 1 *",
            **machine.charts,
        )
        live_stack.configure(**machine.settings)
        yield live_stack
        if request.session.testsfailed and request.config.getoption("--keep-failed", default=False):
            print(f"\nThe stack was kept. Destroy it with:\n  {live_stack.destroy_command()}")  # noqa: T201 - for the user
        else:
            live_stack.destroy()
            shutil.rmtree(folder)


@pytest.fixture(scope="module")
def models(stack: LiveStack) -> ManyModels:
    """Models beside the default model, one of them broken."""
    return models_by_name.register(stack)


@pytest.fixture(scope="module")
def rollouts(stack: LiveStack) -> Iterator[RolloutPlatform]:
    """The running platform, which serves a model."""
    with platform.rollout_platform(stack) as running:
        yield running


@pytest.fixture(scope="module")
def challengers(stack: LiveStack) -> Challengers:
    """Versions of the platform's model for rollouts."""
    with platform.mlflow_credentials(stack) as url:
        return rollout_models.register_in_subprocess(url)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the state of the cluster to the report of a failed test, before the next test changes it."""
    report = yield
    if report.when == "call" and report.failed and isinstance(item, pytest.Function):
        live_stack, machine = item.funcargs["stack"], item.funcargs["machine"]
        assert isinstance(live_stack, LiveStack)
        assert isinstance(machine, Tools)
        report.sections.append(("cluster", platform.describe_cluster(machine, live_stack)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the measurements of the tests."""
    if figures := terminalreporter.config.stash.get(FIGURES, []):
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.write_line(line)

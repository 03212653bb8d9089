"""The stack of the lifecycle tests, and the figures that they print."""

import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.lifecycle import platform
from tests.support import tools
from tests.support.live_stack import LiveStack
from tests.support.tools import Tools

STACK = "e2e"
FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def figure(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Note a figure for the end of the test report."""
    return pytestconfig.stash.setdefault(FIGURES, []).append


@pytest.fixture(scope="session")
def machine() -> Tools:
    """Everything that the suite needs, or a skip that names what is missing."""
    found = tools.find()
    if missing := found.missing():
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    return found


@pytest.fixture(scope="module")
def stack(machine: Tools, request: pytest.FixtureRequest) -> Iterator[LiveStack]:
    """A stack that is configured and not yet up; it is destroyed at the end, unless it is kept to be looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", machine.path)
        # Not pytest's folder, which later runs clear: a kept stack needs its state.
        folder = Path(tempfile.mkdtemp(prefix="manta-e2e-"))
        made = LiveStack(folder, machine, STACK)
        context = machine.context()
        address = machine.kubectl(
            "get", "nodes", "-o", "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}"
        )
        made.configure(
            context=context,
            localContexts=[context],
            namespace=f"manta-{STACK}",
            access="nodePort",
            host=address,
            maxWorkers=1,
            **machine.charts,
        )
        made.configure(**machine.settings)
        yield made
        if request.session.testsfailed and request.config.getoption("--keep-failed", default=False):
            print(f"\nThe stack was kept. End it with:\n  {made.destroy_command()}")  # noqa: T201
        else:
            made.destroy()
            shutil.rmtree(folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the cluster says of itself to the report of a failed test, before the next one changes it."""
    report = yield
    if report.when == "call" and report.failed and isinstance(item, pytest.Function):
        live, found = item.funcargs["stack"], item.funcargs["machine"]
        assert isinstance(live, LiveStack)
        assert isinstance(found, Tools)
        report.sections.append(("cluster", platform.picture(found, live)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests measured."""
    if figures := terminalreporter.config.stash.get(FIGURES, []):
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.write_line(line)

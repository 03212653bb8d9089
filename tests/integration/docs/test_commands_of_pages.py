"""The shell blocks of the documentation with the mark `runs embedded` succeed on a local platform."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.endpoints import Endpoints
from tests.support.local import LocalFolder, clean_environment
from tests.support.markdown import PAGES, ROOT, Block, page

MARK = "runs embedded"
"""Comment above a block that this test runs: `<!-- runs embedded -->`."""

IGNORED = (".git", ".venv", ".manta", "__pycache__", ".*_cache", ".hypothesis")
"""Files and folders that the copy of the working tree does not contain."""

LIMIT_S = 600


def runnable(path: Path) -> list[Block]:
    return [block for block in page(path).blocks if block.language == "sh" and block.comment == MARK]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFolder]:
    """A copy of the working tree, with a link to this Python environment, in which the platform runs."""
    folder = tmp_path_factory.mktemp("clone") / "manta"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*IGNORED))
    (folder / ".venv").symlink_to(sys.prefix)
    local = LocalFolder(folder)
    with local.run_platform():
        yield local


@pytest.mark.timeout(LIMIT_S + 300)
@pytest.mark.parametrize(
    "path", [path for path in PAGES if runnable(path)], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_marked_blocks_of_a_page_succeed_in_order(path: Path, clone: LocalFolder) -> None:
    blocks = [f"echo '# line {block.line}' >&2\n{block.content}" for block in runnable(path)]
    script = "\n".join(["set -e", *blocks])
    default, endpoints = Endpoints(), clone.endpoints
    # The tutorial names the default ports; the test's platform has others.
    for part in ("ray_url", "mlflow_url", "serve_url"):
        script = script.replace(getattr(default, part), getattr(endpoints, part))

    process = subprocess.run(
        ["sh", "-c", script],
        stdin=subprocess.DEVNULL,
        cwd=clone.folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert process.returncode == 0, process.stdout + process.stderr

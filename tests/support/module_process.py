"""Runs a module of the tests as a program, so that the warnings of libraries do not fail a test."""

import subprocess
import sys
from pathlib import Path
from typing import Final

TIMEOUT_S: Final = 600


def run_module(module: str, *args: str) -> str:
    """Run a module with arguments in a separate process, and return the last line of its output.

    Raises:
        AssertionError: The process failed. The message is its error output.
    """
    process = subprocess.run(
        [sys.executable, "-m", module, *args],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()[-1]

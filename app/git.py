"""What git says of a folder."""

import subprocess
from pathlib import Path
from typing import Final

TIMEOUT_S: Final = 10
"""The longest that git may take to tell a commit."""

DIRTY: Final = "-dirty"
"""What follows the commit of a working tree in which files differ from it."""


def git_commit(folder: Path) -> str:
    """Commit of the working tree that a folder lies in, with `DIRTY` where files differ; empty without git."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", f"--dirty={DIRTY}", "--exclude=*"],  # noqa: S607
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""

"""What git says of a folder, and a commit checked out beside it."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.errors import MantaError

TIMEOUT_S: Final = 10
"""The longest that git may take to tell a commit."""

CHECKOUT_TIMEOUT_S: Final = 300
"""The longest that git may take to check a commit out."""

DIRTY: Final = "-dirty"
"""What follows the commit of a working tree in which files differ from it."""


class GitError(MantaError):
    """A commit that cannot be had here."""

    title = "Commit unavailable"


def git_commit(folder: Path) -> str:
    """Commit of the working tree that a folder lies in, with `DIRTY` where files differ; empty without git."""
    try:
        return _git(folder, "describe", "--always", "--abbrev=40", f"--dirty={DIRTY}", "--exclude=*").strip()
    except GitError:
        return ""


@contextmanager
def checked_out(commit: str, repository: Path) -> Iterator[Path]:
    """Give a folder with the files of a commit, and remove it afterwards.

    Args:
        commit: All of its digits.
        repository: A folder of a working tree whose repository has the commit.

    Raises:
        GitError: It is no repository, or has no such commit.
    """
    with tempfile.TemporaryDirectory(prefix="manta-commit-") as scratch:
        folder = Path(scratch) / "tree"
        _git(repository, "worktree", "add", "--quiet", "--detach", str(folder), commit, timeout_s=CHECKOUT_TIMEOUT_S)
        try:
            yield folder
        finally:
            _git(repository, "worktree", "remove", "--force", str(folder))


def _git(folder: Path, *arguments: str, timeout_s: float = TIMEOUT_S) -> str:
    command = ["git", *arguments]
    try:
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(f"`{' '.join(command)}` did not run: {error}", next_step="Install git.") from error
    if answer.returncode != 0:
        said = answer.stderr.strip().splitlines()[-1:] or ["git says nothing"]
        raise GitError(
            f"`{' '.join(command)}` failed in {folder}: {said[0].removeprefix('fatal: ')}.",
            next_step="Run this in a clone of the code's repository that has the commit: git fetch.",
        )
    return answer.stdout

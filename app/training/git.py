"""The git commit of a folder, and a checkout of a commit into a temporary folder."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.errors import MantaError

TIMEOUT_S: Final = 10
"""Time limit of a git command, except for a checkout."""

CHECKOUT_TIMEOUT_S: Final = 300
"""Time limit of a checkout."""

DIRTY_SUFFIX: Final = "-dirty"
"""Suffix of a commit if files in the working tree differ from it."""


class GitError(MantaError):
    """A commit that is not available on this machine."""

    title = "Commit unavailable"


def git_commit(folder: Path) -> str:
    """Return the commit of the working tree that contains a folder.

    Returns:
        All digits of the commit, with `DIRTY_SUFFIX` if files differ from it; empty without git or a repository.
    """
    try:
        return _run_git(folder, "describe", "--always", "--abbrev=40", f"--dirty={DIRTY_SUFFIX}", "--exclude=*").strip()
    except GitError:
        return ""


@contextmanager
def checkout(commit: str, repository: Path) -> Iterator[Path]:
    """Check a commit out into a temporary folder, and remove the folder at the end.

    Args:
        commit: All digits of the commit.
        repository: A folder inside a working tree whose repository has the commit.

    Yields:
        The folder with the files of the commit.

    Raises:
        GitError: `repository` is not in a git repository, or the repository does not have the commit.
    """
    with tempfile.TemporaryDirectory(prefix="manta-commit-") as parent:
        worktree = Path(parent) / "tree"
        add = ["worktree", "add", "--quiet", "--detach", str(worktree), commit]
        _run_git(repository, *add, timeout_s=CHECKOUT_TIMEOUT_S)
        try:
            yield worktree
        finally:
            _run_git(repository, "worktree", "remove", "--force", str(worktree))


def _run_git(folder: Path, *arguments: str, timeout_s: float = TIMEOUT_S) -> str:
    command = ["git", *arguments]
    try:
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(
            f"`{' '.join(command)}` could not run: {error}", next_step="Check that git is installed."
        ) from error
    if process.returncode != 0:
        message = (process.stderr.strip().splitlines() or ["no message from git"])[-1].removeprefix("fatal: ")
        raise GitError(
            f"`{' '.join(command)}` failed in {folder}: {message}.",
            next_step="Run this in a clone of the code's repository that has the commit. To get the commit: git fetch.",
        )
    return process.stdout

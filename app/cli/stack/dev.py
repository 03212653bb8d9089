"""`manta dev`: run `pulumi up` after each change of the code, and print when the new code serves."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import typer

from app.cli.shared_options import StackOption
from app.cli.stack.outputs import StackError

WATCHED_PATHS: Final = ("app", "images", "requirements/app.txt", "pyproject.toml")
"""Files and folders of the project that go into the image."""
POLL_MS: Final = 500
"""Pause between two checks of the files."""
QUIET_MS: Final = 500
"""Time without a further change after which a save counts as complete: editors write several files."""


def dev(stack: StackOption = "") -> None:
    """Watch the code and run `pulumi up` after each change, until Ctrl-C.

    Example: manta dev --stack dev
    """
    root = Path.cwd()
    if not (root / "Pulumi.yaml").exists():
        raise StackError(
            f"{root} has no Pulumi.yaml, so it is not the project's folder.",
            next_step="Change to the folder with Pulumi.yaml.",
        )
    command = ["pulumi", "up", "--yes", "--skip-preview", *(["--stack", stack] if stack else [])]
    typer.echo(f"watching {', '.join(WATCHED_PATHS)}; Ctrl-C ends")
    try:
        for files in changed_files(root):
            roll_out(command, files, saved_at=time.monotonic() - QUIET_MS / 1000, report=typer.echo)
    except KeyboardInterrupt:
        typer.echo("ended")


def changed_files(root: Path) -> Iterator[list[Path]]:
    """Yield the changed files after each save, relative to the project's folder.

    Files that change while the caller handles a save are yielded next.

    Args:
        root: Folder of the project.
    """
    import watchfiles  # noqa: PLC0415 - imports anyio, which only this command needs

    # Polling, because a system watch on a single file is lost when an editor or git replaces the file.
    for changes in watchfiles.watch(
        *(root / path for path in WATCHED_PATHS if (root / path).exists()),
        step=QUIET_MS,
        force_polling=True,
        poll_delay_ms=POLL_MS,
    ):
        files = sorted({Path(path).relative_to(root) for _, path in changes if not Path(path).is_dir()})
        if files:
            yield files


def roll_out(command: list[str], files: list[Path], *, saved_at: float, report: Callable[[str], None]) -> None:
    """Run the update for a save and report the time until the new code serves. A failed update does not raise.

    Args:
        command: The update command.
        files: The changed files.
        saved_at: Time of the save, by `time.monotonic`.
        report: Receives each message for the user.

    Raises:
        StackError: The program of the command is not installed.
    """
    report(f"changed: {', '.join(str(file) for file in files)}")
    try:
        exit_code = subprocess.run(command, check=False).returncode
    except FileNotFoundError as error:
        raise StackError(f"`{command[0]}` is not on PATH.", next_step="See `manta doctor`.") from error
    duration = f"{time.monotonic() - saved_at:.0f} s after the save"
    if exit_code == 0:
        report(f"serving {duration}")
    else:
        report(f"update failed, {duration}; the old code still serves. Correct the code and save again.")

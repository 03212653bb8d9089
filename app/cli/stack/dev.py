"""`manta dev`: each change of the code is rolled out by `pulumi up`, and the time until it serves is told."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from app.cli.stack.outputs import StackError

WATCHED: Final = ("app", "images", "requirements/app.txt", "pyproject.toml")
"""What goes into the image, as files and folders of the project."""
POLL_S: Final = 0.5
"""Pause between two looks at the files."""
QUIET_S: Final = 0.5
"""Time without a change after which a save counts as complete: editors write several files."""

Snapshot = dict[Path, int]


def dev(
    stack_name: Annotated[
        str, typer.Option("--stack", help="Pulumi stack; the selected one where nothing is said.")
    ] = "",
) -> None:
    """Watch the code and roll every change out, until Ctrl-C."""
    root = Path.cwd()
    if not (root / "Pulumi.yaml").exists():
        raise StackError(f"{root} is not the project's folder.", next_step="Change to the folder with Pulumi.yaml.")
    command = ["pulumi", "up", "--yes", "--skip-preview", *(["--stack", stack_name] if stack_name else [])]
    typer.echo(f"watching {', '.join(WATCHED)}; Ctrl-C ends")
    try:
        for changed in changes(root):
            roll_out(command, changed, typer.echo)
    except KeyboardInterrupt:
        typer.echo("ended")


def changes(root: Path) -> Iterator[tuple[list[Path], float]]:
    """Yield the files of each save, and when it happened, for ever; changes made meanwhile come next.

    Args:
        root: Folder of the project.
    """
    seen = snapshot(root)
    while True:
        now = snapshot(root)
        if now == seen:
            time.sleep(POLL_S)
            continue
        saved = time.monotonic()
        while (later := _later(root)) != now:
            now = later
        different = sorted(path for path in seen.keys() | now.keys() if seen.get(path) != now.get(path))
        seen = now
        yield [path.relative_to(root) for path in different], saved


def snapshot(root: Path) -> Snapshot:
    """When each watched file was changed last."""
    found: Snapshot = {}
    for name in WATCHED:
        path = root / name
        for file in path.rglob("*") if path.is_dir() else [path]:
            if "__pycache__" in file.parts:
                continue
            try:
                if file.is_file():
                    found[file] = file.stat().st_mtime_ns
            except FileNotFoundError:  # an editor's own file, gone again
                continue
    return found


def roll_out(command: list[str], changed: tuple[list[Path], float], say: Callable[[str], None]) -> None:
    """Run the update for a save, and say how long after it the new code serves; a failure ends nothing.

    Raises:
        StackError: Pulumi is missing.
    """
    files, saved = changed
    say(f"changed: {', '.join(str(path) for path in files)}")
    try:
        code = subprocess.run(command, check=False).returncode
    except FileNotFoundError as error:
        raise StackError("`pulumi` is not on PATH.", next_step="See `manta doctor`.") from error
    took = f"{time.monotonic() - saved:.0f} s after the save"
    say(f"serving {took}" if code == 0 else f"not rolled out, {took}; what served before serves on. Mend it and save.")


def _later(root: Path) -> Snapshot:
    time.sleep(QUIET_S)
    return snapshot(root)

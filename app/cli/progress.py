"""Progress of a command's steps on the terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

console = Console(highlight=False, soft_wrap=True)
"""Console for the output that people read."""


class Steps:
    """Shows the running steps of a command, several at a time.

    Each step prints a line at its end. On a terminal a spinner shows the running steps.
    """

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @contextmanager
    def step(self, running_text: str, done_text: str) -> Iterator[None]:
        """Show `running_text` while the block runs; print `done_text` and the duration when it succeeds."""
        task = self._progress.add_task(running_text, total=None)
        start = time.perf_counter()
        try:
            yield
        except BaseException:
            console.print(f"[red]✗[/red] {running_text} ({time.perf_counter() - start:.1f} s)")
            raise
        else:
            console.print(f"[green]✓[/green] {done_text} ({time.perf_counter() - start:.1f} s)")
        finally:
            self._progress.remove_task(task)

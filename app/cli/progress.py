"""Shows which steps are under way, what each waits for, and how long each took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

console = Console(highlight=False, soft_wrap=True)
"""Where commands print what people read."""


class Steps:
    """Steps of a command, some of them side by side; without a terminal each prints a line at its end."""

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
    def step(self, waiting: str, done: str) -> Iterator[None]:
        """Show `waiting` while the block runs, and `done` with the block's duration once it has succeeded."""
        task = self._progress.add_task(waiting, total=None)
        started = time.perf_counter()
        try:
            yield
        except BaseException:
            console.print(f"[red]✗[/red] {waiting} ({time.perf_counter() - started:.1f} s)")
            raise
        else:
            console.print(f"[green]✓[/green] {done} ({time.perf_counter() - started:.1f} s)")
        finally:
            self._progress.remove_task(task)

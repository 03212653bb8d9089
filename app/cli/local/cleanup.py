"""What happens to the processes and files of the platform when the command ends."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP (a closed terminal) raise `SystemExit`, so that the processes are stopped."""

    def exit_command(signal_number: int, _frame: object) -> None:
        raise SystemExit(128 + signal_number)

    previous = {number: signal.signal(number, exit_command) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Create a folder with a short path, and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="manta-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

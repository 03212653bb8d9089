"""Stops the platform's processes when the command that started them is gone.

Run as `python -m app.cli.local.watcher PLATFORM_ID SCRATCH_FOLDER`.

Standard input is a pipe, and only the command holds its other end. However the command ends, even by SIGKILL, the
watcher then reads the end of the pipe.
"""

import shutil
import signal
import sys
from pathlib import Path

from app.cli.local.processes import stop_processes


def watch(platform_id: str, scratch: Path) -> None:
    """Wait for the end of standard input, then stop the platform's processes and remove the scratch folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.stdin.buffer.read()
    stop_processes(platform_id)
    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    watch(sys.argv[1], Path(sys.argv[2]))

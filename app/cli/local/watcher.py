"""Ends the platform's processes once the command that started them is gone.

Run as `python -m app.cli.local.watcher MARK FOLDER`.

Its standard input is a pipe whose other end only the command holds, so that it reads the end of the pipe whatever
ended the command, SIGKILL and a crash among them.
"""

import shutil
import signal
import sys
from pathlib import Path

from app.cli.local.processes import end_marked


def watch(mark: str, scratch: Path) -> None:
    """Wait for the end of standard input, then end what carries the mark and remove the scratch folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_marked(mark)
    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    watch(sys.argv[1], Path(sys.argv[2]))

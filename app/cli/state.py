"""The folder that holds a local platform's state: its lock and its token."""

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.errors import PlatformError

STATE: Final = Path(".manta")
"""Default folder, below the working directory."""

TOKEN_FILE: Final = "token"  # noqa: S105 - a file's name
"""File in the folder with the token of Ray and of `/model/load`, readable by its owner only."""

LOCK_FILE: Final = "lock"
"""File in the folder that a running platform keeps locked."""


@contextmanager
def opened(state: Path) -> Iterator[str]:
    """Create the folder where it is missing, and lock it until the platform ends.

    Args:
        state: The folder; only its owner may read it.

    Yields:
        The token of the platform, generated at its first start.

    Raises:
        PlatformError: Another platform has locked the folder.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PlatformError(
                f"A platform with the state {state} runs already.",
                next_step="Use it, end it with Ctrl-C, or name another folder with --state.",
            ) from error
        token_file = state / TOKEN_FILE
        if not token_file.exists():
            token_file.touch(mode=0o600)
            token_file.write_text(secrets.token_urlsafe(32))
        yield token_file.read_text()


def is_running(state: Path) -> bool:
    """Whether a platform of this machine has locked the folder."""
    try:
        with (state / LOCK_FILE).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False

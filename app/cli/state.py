"""The state folder of a local platform: its lock file, its token and the key of its models."""

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.errors import PlatformError

STATE_FOLDER: Final = Path(".manta")
"""Default state folder, in the working directory."""

TOKEN_FILE: Final = "token"  # noqa: S105 - a file's name
"""File in the state folder. It holds the token of Ray and of `/model/load`; only its owner may read it."""

MODEL_KEY_FILE: Final = "model-key"
"""File in the state folder. It holds the key that signs pickles of models; only its owner may read it."""

LOCK_FILE: Final = "lock"
"""File in the state folder. A running platform holds an exclusive lock on it."""


@contextmanager
def lock_state_folder(folder: Path) -> Iterator[str]:
    """Create the state folder if it is missing, and lock it while the block runs.

    Args:
        folder: State folder. It is created with access for its owner only.

    Yields:
        Token of the platform. The first start generates it.

    Raises:
        PlatformError: Another platform has locked the folder.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PlatformError(
                f"A platform with the state folder {folder} is already running.",
                next_step="Use that platform, end it with Ctrl-C, or choose another folder with --state.",
            ) from error
        yield _read_or_generate(folder / TOKEN_FILE)


def model_key(folder: Path) -> str:
    """Return the key of a state folder that signs pickles of models. The first call generates it."""
    return _read_or_generate(folder / MODEL_KEY_FILE)


def _read_or_generate(file: Path) -> str:
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(32))
    return file.read_text()


def is_platform_running(state_folder: Path) -> bool:
    """Whether a platform on this machine holds the lock of the state folder."""
    try:
        with (state_folder / LOCK_FILE).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False

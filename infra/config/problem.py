"""A reason why a configuration cannot work, with the command that corrects it."""

import json
import shlex
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """A reason why a configuration cannot work."""

    key: str
    reason: str
    command: str

    def __str__(self) -> str:
        return f"manta:{self.key}: {self.reason}. Correct it with: {self.command}"


def quoted(value: object) -> str:
    """Quote a value as a shell argument that no command takes for an option."""
    if isinstance(value, bool):
        return str(value).lower()
    text = json.dumps(value) if isinstance(value, (dict, list, tuple)) else str(value)
    return ("-- " if text.startswith("-") else "") + shlex.quote(text)


def secret_command(key: str) -> str:
    """Command that sets a secret key to a random value without showing it."""
    return f'pulumi config set --secret {key} "$(openssl rand -hex 32)"'

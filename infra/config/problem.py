"""A reason why a configuration cannot work, with the command that corrects it."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
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


def set_command(key: str, value: object) -> str:
    """Command that sets a key. An array or an object is replaced as a whole, one command per value in it."""
    if not isinstance(value, (dict, list, tuple)):
        return f"pulumi config set {key} {quoted(value)}"
    sets = [f"pulumi config set --path {shlex.quote(path)} {quoted(leaf)}" for path, leaf in _leaves(key, value)]
    return " && ".join([f"pulumi config rm {key}", *sets])


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield each value in an array or an object that is no array or object, with its path."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            is_word = str(name).isidentifier()
            yield from _leaves(f"{path}.{name}" if is_word else f'{path}["{name}"]', inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, inner in enumerate(value):
            yield from _leaves(f"{path}[{index}]", inner)
    else:
        yield path, value


def secret_command(key: str) -> str:
    """Command that sets a secret key to a random value without showing it."""
    return f'pulumi config set --secret {key} "$(openssl rand -hex 32)"'

"""Profiles: values for a kind of stack that replace the defaults of their keys. `profiles.yaml` holds the values.

Pulumi passes every key to the program, also those that the stack's file does not set, with the defaults of
`Pulumi.yaml`. So this module reads the file to tell a key that is set from a default.
"""

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Final

import yaml

KEY: Final = "profile"
FILE: Final = Path(__file__).with_suffix(".yaml")


def profiles() -> dict[str, dict[str, str]]:
    """Values of each profile by key, as Pulumi would pass them."""
    document: dict[str, dict[str, object]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {name: {key: text(value) for key, value in values.items()} for name, values in document.items()}


def text(value: object) -> str:
    """A value as Pulumi passes it to the program."""
    return value if isinstance(value, str) else json.dumps(value)


def apply(values: Mapping[str, str], set_keys: Container[str]) -> dict[str, str]:
    """Replace the defaults of the keys that the profile has a value for.

    Args:
        values: The configuration by key, without the prefix of the project. An unknown profile changes nothing.
        set_keys: Keys that keep their value.
    """
    profile = profiles().get(values.get(KEY, ""), {})
    return {**values, **{key: value for key, value in profile.items() if key not in set_keys}}


def keys_of_file(file: Path, project: str) -> set[str]:
    """Keys that a stack's file sets, without the prefix of the project. Empty if the file does not exist."""
    if not file.exists():
        return set()
    document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    return {name.removeprefix(f"{project}:") for name in document.get("config") or {}}

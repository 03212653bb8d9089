"""Applies the `profile` of a stack to its configuration, as `pulumi up` does.

`app` must not import `infra`, which has the same rule. A test compares the two.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from app.cli.json_object import JsonObject

KEY: Final = "profile"
NONE: Final = "none"
"""Value of the key without a profile."""
PROJECT_FILE: Final = "Pulumi.yaml"
VALUES: Final = Path("infra", "config", "profiles.yaml")
"""Values of each profile, below the folder of the project."""


def apply(configuration: Mapping[str, str], folder: Path, stack: str) -> dict[str, str]:
    """Replace the defaults of the keys that the profile has a value for. An unknown profile changes nothing.

    Args:
        configuration: Configuration with its defaults, by key.
        folder: Folder of the project, or a folder in it.
        stack: Name of the stack, without its organization.
    """
    root = next(path for path in (folder, *folder.parents) if (path / PROJECT_FILE).is_file())
    values = _read(root / VALUES).get(configuration.get(KEY, ""), {})
    declarations = _read(root / PROJECT_FILE)["config"]
    stack_file = root / f"Pulumi.{stack}.yaml"
    set_keys = (_read(stack_file).get("config") or {}) if stack_file.is_file() else {}
    profile = {
        key: _text(value)
        for key, value in values.items()
        if f"manta:{key}" not in set_keys and configuration[key] == _text(declarations[key]["default"])
    }
    return {**configuration, **profile}


def _read(file: Path) -> JsonObject:
    document: JsonObject = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    return document


def _text(value: object) -> str:
    """A value as Pulumi prints it."""
    return value if isinstance(value, str) else json.dumps(value)

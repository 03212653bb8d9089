"""Each key stands in `Pulumi.yaml`, in the settings and in the README's table, and says the same there."""

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from infra.config import settings
from tests.support.program import PROJECT, stack_file

KINDS = {int: "integer", bool: "boolean", str: "string", SecretStr: "string", tuple: "array", dict: "object"}


def kind(field: FieldInfo) -> str:
    origin = get_origin(field.annotation)
    if origin is Literal:
        return "string"
    return KINDS[origin or field.annotation]  # type: ignore[index]


def default(field: FieldInfo) -> Any:  # noqa: ANN401
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return list(value) if isinstance(value, tuple) else value


def declared() -> dict[str, dict[str, Any]]:
    loaded: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())["config"]
    return loaded


def row(key: str, field: FieldInfo) -> str:
    """The README's line about a key."""
    options = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    meant = f"{field.description} One of {', '.join(options)}." if options else str(field.description)
    secret = " (secret)" if field.annotation is SecretStr else ""
    shown = json.dumps(default(field)) if not isinstance(default(field), str) else default(field)
    cell = f"`{shown}`" if shown else ""
    return f"| `{key}` | {kind(field)}{secret} | {cell} | {meant} |"


def test_pulumi_yaml_declares_exactly_the_keys_of_the_settings() -> None:
    assert list(declared()) == list(settings.keys())


def test_pulumi_yaml_tells_type_default_and_meaning_of_each_key() -> None:
    keys = declared()

    for key, field in settings.keys().items():
        expected = {"type": kind(field), "description": field.description, "default": default(field)}
        if kind(field) == "array":
            expected["items"] = {"type": "string"}
        assert keys[key] == expected, key


def test_the_readme_has_a_row_for_each_key_and_none_besides() -> None:
    lines = (PROJECT / "README.md").read_text().splitlines()
    start = lines.index("| key | type | default | meaning |")

    table = [line for line in lines[start + 2 :][: len(settings.keys()) + 1] if line.startswith("|")]
    assert table == [row(key, field) for key, field in settings.keys().items()]


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_stacks_file_holds_only_what_differs_from_the_defaults(stack: str) -> None:
    fields = settings.keys()

    for key, value in stack_file(stack).items():
        assert value != default(fields[key]), key


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_stacks_file_holds_no_secret(stack: str) -> None:
    fields = settings.keys()

    assert not [key for key in stack_file(stack) if fields[key].annotation is SecretStr]


def test_the_program_is_where_pulumi_looks_for_it() -> None:
    project = yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())

    assert project["name"] == settings.PROJECT
    assert (PROJECT / project["main"] / "__main__.py").is_file()
    assert project["runtime"]["options"]["virtualenv"] == Path(".venv").as_posix()

"""Each key is in `Pulumi.yaml`, in the settings and in the generated reference, with the same meaning in all three."""

import json
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from infra.config import settings
from tests.support.json_object import JsonObject
from tests.support.program import PROJECT, stack_file

KINDS = {int: "integer", bool: "boolean", str: "string", SecretStr: "string", tuple: "array", dict: "object"}


def kind(field: FieldInfo) -> str:
    origin = get_origin(field.annotation)
    if origin is Literal:
        return "string"
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        return "object"
    return KINDS[origin or field.annotation]  # type: ignore[index] # every key has one of these types


def default(field: FieldInfo) -> Any:  # noqa: ANN401 - a default of any type
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True, exclude_defaults=True)
    return list(value) if isinstance(value, tuple) else value


def item_kind(field: FieldInfo) -> str:
    """Type of the items of an array."""
    item = get_args(field.annotation)[0]
    return "object" if isinstance(item, type) and issubclass(item, BaseModel) else "string"


def declared() -> dict[str, JsonObject]:
    declarations: dict[str, JsonObject] = yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())["config"]
    return declarations


def rows() -> list[list[str]]:
    """The rows of all tables in the generated reference, as cells."""
    page = (PROJECT / "docs" / "reference" / "configuration.md").read_text()
    return [
        re.split(r"(?<!\\) \| ", line[2:-2])
        for line in page.partition("## Values of the profiles")[0].splitlines()
        if line.startswith("| `")
    ]


def test_pulumi_yaml_declares_exactly_the_keys_of_the_settings() -> None:
    assert list(declared()) == list(settings.keys())


def test_pulumi_yaml_declares_type_default_and_description_of_each_key() -> None:
    keys = declared()

    for key, field in settings.keys().items():
        expected = {"type": kind(field), "description": field.description, "default": default(field)}
        if kind(field) == "array":
            expected["items"] = {"type": item_kind(field)}
        assert keys[key] == expected, key


def test_the_reference_has_exactly_one_row_for_each_key() -> None:
    assert [row[0].strip("`") for row in rows()] == list(settings.keys())


def test_the_reference_shows_type_default_and_description_of_each_key() -> None:
    for (key, field), row in zip(settings.keys().items(), rows(), strict=True):
        secret = ", secret" if field.annotation is SecretStr else ""
        value = default(field) if isinstance(default(field), str) else json.dumps(default(field))
        assert row[1] == kind(field) + secret, key
        assert row[2] == (f"`{value}`" if value else ""), key
        assert row[-1] == field.description, key


def test_the_reference_lists_every_choice_of_a_key() -> None:
    choices = {key: get_args(field.annotation) for key, field in settings.keys().items() if kind(field) == "string"}

    listed = {row[0].strip("`"): row[3] for row in rows()}

    for key, options in choices.items():
        if options:
            assert listed[key] == ", ".join(f"`{option}`" for option in options), key


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_stacks_file_contains_only_values_other_than_the_defaults(stack: str) -> None:
    fields = settings.keys()

    for key, value in stack_file(stack).items():
        assert value != default(fields[key]), key


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_stacks_file_contains_no_secret(stack: str) -> None:
    fields = settings.keys()

    assert not [key for key in stack_file(stack) if fields[key].annotation is SecretStr]


def test_pulumi_yaml_names_the_folder_of_the_program() -> None:
    project = yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())

    assert project["name"] == settings.PROJECT
    assert (PROJECT / project["main"] / "__main__.py").is_file()
    assert project["runtime"]["options"]["virtualenv"] == Path(".venv").as_posix()

"""docs/reference/configuration.md: every key of a stack, from Pulumi.yaml and the models that check the values."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from infra.config import profiles, settings
from scripts.reference.json_schema import Schema
from scripts.reference.markdown import code, code_list, interval, table
from scripts.reference.markdown import page as markdown_page

PULUMI_YAML: Final = Path(__file__).parents[2] / "Pulumi.yaml"

INTRODUCTION: Final = """\
Each key belongs to the selected Pulumi stack. `pulumi config set KEY VALUE` sets it, and `pulumi config rm KEY`
restores the default. The next `pulumi up` applies the change. Set a secret with `pulumi config set --secret KEY`, which
asks for the value: `pulumi up` refuses a secret that is not encrypted in the file of the stack. `pulumi up` checks
every value before it changes the cluster, and names the command that corrects a wrong value."""

PROFILES: Final = """\
`pulumi config set profile small` replaces these defaults. A key in the stack's file keeps its value, also where this is
the default. Without a value here, a profile leaves the default."""

LISTS: Final = "Set an item of an array or an object by its path:"

LISTS_EXAMPLE: Final = """\
```sh
pulumi config set --path 'localContexts[0]' my-local-cluster
pulumi config set --path 'mlflowServiceAccountAnnotations["iam.gke.io/gcp-service-account"]' mlflow@project.iam
```"""

HEADER: Final = ("Key", "Type", "Default", "Allowed values", "Meaning")


def page() -> str:
    """The page, with a table for each group of keys in Pulumi.yaml."""
    blocks = [INTRODUCTION, LISTS, LISTS_EXAMPLE]
    declarations = yaml.safe_load(PULUMI_YAML.read_text(encoding="utf-8"))["config"]
    for title, keys in groups():
        blocks += [f"## {title}", table(HEADER, [_row(key, declarations[key]) for key in keys])]
    blocks += ["## Values of the profiles", PROFILES, _profiles()]
    return markdown_page("Configuration", source="Pulumi.yaml and the models in infra/", blocks=blocks)


def _profiles() -> str:
    """A table of the keys that a profile sets, with the value of each profile."""
    values = profiles.profiles()
    keys = [key for key in list(settings.keys()) if any(key in profile for profile in values.values())]
    rows = [(f"`{key}`", *(code(profile.get(key, "")) for profile in values.values())) for key in keys]
    return table(("Key", *(f"`{name}`" for name in values)), rows)


def groups() -> Iterator[tuple[str, list[str]]]:
    """Each group of Pulumi.yaml: the comment above its first key, and its keys."""
    config = PULUMI_YAML.read_text(encoding="utf-8").split("\nconfig:\n")[1]
    for part in re.split(r"^  # ", config, flags=re.MULTILINE)[1:]:
        comment, keys = part.split("\n", 1)
        yield comment.rstrip("."), re.findall(r"^  (\w+):$", keys, re.MULTILINE)


def _row(key: str, declaration: dict[str, str]) -> tuple[str, ...]:
    schema = schemas()[key]
    kind = f"{declaration['type']}, secret" if schema.get("writeOnly") else declaration["type"]
    default = declaration["default"]
    default_text = default if isinstance(default, str) else json.dumps(default)
    return code(key), kind, code(default_text), allowed_values(schema), declaration["description"]


def schemas() -> dict[str, Schema]:
    """The JSON schema of each key's value, from the models that check it."""
    properties: dict[str, Schema] = {}
    for field in settings.Settings.model_fields.values():
        properties |= _properties(field)
    return properties


def _properties(group: FieldInfo) -> dict[str, Schema]:
    model = group.annotation
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{model} is not a model.")
    properties: dict[str, Schema] = model.model_json_schema()["properties"]
    return properties


def allowed_values(schema: Schema) -> str:
    """The allowed values of a key in words, with the first example."""
    if "enum" in schema:
        return code_list(schema["enum"])
    if schema.get("type") == "boolean":
        return code_list(["true", "false"])
    example = schema.get("examples", [""])[0]
    example_text = example if isinstance(example, str) else json.dumps(example)
    example_words = f"for example {code(example_text)}" if example_text else ""
    words = schema.get("allowed", "") or interval(schema.get("minimum"), schema.get("maximum"))
    pattern = f"matches {code(schema['pattern'])}" if "pattern" in schema and not words else ""
    return "; ".join(filter(None, [words, pattern, example_words]))

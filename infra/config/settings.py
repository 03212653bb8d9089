"""The only reader of `pulumi.Config` and of the environment: a stack as checked, frozen models."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final, get_origin

import pulumi
import pulumi.runtime
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from infra.config import checks
from infra.config.options import (
    AccessOptions,
    AppOptions,
    ChartOptions,
    ClusterOptions,
    ImageOptions,
    OptionGroup,
    ScheduleOptions,
    SizeOptions,
    StorageOptions,
)
from infra.config.problem import Problem, quoted, secret_command

PROJECT: Final = "manta"
"""Name of the Pulumi project, and so the namespace of its keys."""


class SettingsError(pulumi.RunError):
    """The configuration of the stack does not hold together; the message says how to mend each key."""


class Settings(BaseModel):
    """All that a stack decides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: ClusterOptions
    size: SizeOptions
    images: ImageOptions
    charts: ChartOptions
    storage: StorageOptions
    access: AccessOptions
    app: AppOptions
    schedule: ScheduleOptions


def load() -> Settings:
    """Read and check the configuration of the current stack.

    Raises:
        SettingsError: A key is unknown, a value is refused, or two values contradict each other.
    """
    raw = pulumi.runtime.config.CONFIG.get() | pulumi.runtime.config.get_config_env()
    return parse(raw, is_encrypted=pulumi.runtime.config.is_config_secret)


def parse(raw: Mapping[str, str], *, is_encrypted: Callable[[str], bool] = lambda _key: True) -> Settings:
    """Make settings from a stack's configuration.

    Args:
        raw: Values by key, with the project's name before a colon.
        is_encrypted: Whether the file of the stack holds the value of a key encrypted.

    Raises:
        SettingsError: A key is unknown, a value is refused, or two values contradict each other.
    """
    given = {key.removeprefix(f"{PROJECT}:"): text for key, text in raw.items() if key.startswith(f"{PROJECT}:")}
    known = keys()
    problems = [_unknown(key) for key in given if key not in known]
    # Pulumi's own `secret: true` refuses a default, and without one every stack would have to set the key.
    problems += [
        Problem(key, "the file of the stack holds this secret in clear", secret_command(key))
        for key, text in given.items()
        if text and key in known and _is_secret(known[key]) and not is_encrypted(f"{PROJECT}:{key}")
    ]
    groups: dict[str, OptionGroup] = {}
    for name, group in _groups():
        values = {key: _value(field, given[key]) for key, field in _fields(group) if key in given}
        try:
            groups[name] = group.model_validate(values)
        except ValidationError as error:
            problems += [_refused(group, detail) for detail in error.errors()]
    if not problems:
        settings = Settings.model_validate(groups)
        problems = list(
            checks.problems(
                cluster=settings.cluster,
                size=settings.size,
                images=settings.images,
                storage=settings.storage,
                access=settings.access,
            )
        )
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise SettingsError(f"The configuration of this stack cannot work:\n{lines}")
    return settings


def keys() -> dict[str, FieldInfo]:
    """Every key of the configuration, without the project's name, and its field."""
    return {key: field for _, group in _groups() for key, field in _fields(group)}


def kubeconfig_files() -> list[Path]:
    """Files that kubectl would read, in its order."""
    listed = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return [Path(part) for part in listed] or [Path.home() / ".kube" / "config"]


def _groups() -> Iterator[tuple[str, type[OptionGroup]]]:
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, OptionGroup):
            yield name, field.annotation


def _fields(group: type[OptionGroup]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in group.model_fields.items():
        yield field.alias or name, field


def _value(field: FieldInfo, text: str) -> object:
    """Decode a value: Pulumi hands lists and objects over as JSON."""
    if get_origin(field.annotation) in {tuple, dict}:
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return text


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr


def _unknown(key: str) -> Problem:
    near = get_close_matches(key, keys(), n=1)
    meant = f", perhaps you meant {near[0]}" if near else "; Pulumi.yaml lists all keys"
    return Problem(key, f"there is no such key{meant}", f"pulumi config rm {key}")


def _refused(group: type[OptionGroup], detail: object) -> Problem:
    """Say what was given, what is allowed and how to mend it; a secret is not repeated."""
    error = dict(detail) if isinstance(detail, Mapping) else {}
    key = str(error["loc"][0])
    field = dict(_fields(group))[key]
    message = str(error["msg"]).removeprefix("Value error, ")
    is_secret = _is_secret(field)
    given = "a secret" if is_secret else repr(error["input"])
    if is_secret:
        return Problem(key, f"given {given}; {message}", secret_command(key))
    example = field.examples[0] if field.examples else field.get_default(call_default_factory=True)
    return Problem(key, f"given {given}; {message}", f"pulumi config set {key} {quoted(example)}")

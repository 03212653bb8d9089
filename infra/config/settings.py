"""Reads and checks the configuration of a stack. No other module of infra reads `pulumi.Config` or the environment."""

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final, get_origin

import pulumi
import pulumi.runtime
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from infra import names
from infra.config import (
    catalog_checks,
    checks,
    identity_checks,
    monitoring_options,
    prediction_log_options,
    profiles,
    sharing_options,
    sign_in_options,
    tracing_options,
)
from infra.config.access_options import AccessOptions
from infra.config.catalog_options import CatalogOptions
from infra.config.connection_options import ConnectionOptions
from infra.config.credential_options import CredentialOptions
from infra.config.identity_options import IdentityOptions
from infra.config.image_options import ImageOptions
from infra.config.monitoring_options import MonitoringOptions
from infra.config.network_options import NetworkOptions
from infra.config.options import (
    AppOptions,
    ChartOptions,
    ClusterOptions,
    OptionGroup,
    ScheduleOptions,
    SizeOptions,
    StorageOptions,
)
from infra.config.prediction_log_options import PredictionLogOptions
from infra.config.problem import Problem, quoted, secret_command, set_command
from infra.config.scheduling import SchedulingOptions
from infra.config.sharing_options import SharingOptions
from infra.config.sign_in_options import SignInOptions
from infra.config.tracing_options import TracingOptions
from infra.config.worker_options import WorkerOptions

PROJECT: Final = "manta"
"""Name of the Pulumi project, which is the prefix of its keys."""


class SettingsError(pulumi.RunError):
    """The configuration of the stack is refused. The message names the command that corrects each key."""


class Settings(BaseModel):
    """The configuration of a stack, checked and immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: ClusterOptions
    size: SizeOptions
    workers: WorkerOptions
    scheduling: SchedulingOptions
    images: ImageOptions
    charts: ChartOptions
    storage: StorageOptions
    connections: ConnectionOptions
    access: AccessOptions
    app: AppOptions
    schedule: ScheduleOptions
    network: NetworkOptions
    identity: IdentityOptions
    credentials: CredentialOptions
    sign_in: SignInOptions
    sharing: SharingOptions
    catalog: CatalogOptions
    monitoring: MonitoringOptions
    prediction_log: PredictionLogOptions
    tracing: TracingOptions

    @property
    def monitoring_namespace(self) -> str:
        """Namespace of the Prometheus that reads the stack's metrics; empty if none does."""
        if self.monitoring.is_installed:
            return names.monitoring_namespace(self.cluster.namespace)
        return self.network.monitoring_namespace


def load() -> Settings:
    """Read and check the configuration of the current stack.

    Raises:
        SettingsError: See `parse`.
    """
    raw = pulumi.runtime.config.CONFIG.get() | pulumi.runtime.config.get_config_env()
    folder = pulumi.runtime.settings.get_root_directory()
    file = Path(folder) / f"Pulumi.{pulumi.get_stack()}.yaml" if folder else None
    set_keys = profiles.keys_of_file(file, PROJECT) if file else None
    return parse(raw, is_encrypted=pulumi.runtime.config.is_config_secret, set_keys=set_keys)


def parse(
    raw: Mapping[str, str],
    *,
    is_encrypted: Callable[[str], bool] = lambda _key: True,
    set_keys: Collection[str] | None = None,
) -> Settings:
    """Check the configuration of a stack.

    Args:
        raw: The values by key. The keys of this project begin with its name and a colon; other keys are ignored.
        is_encrypted: Whether the stack's file holds the value of a key in encrypted form.
        set_keys: Keys that the stack's file sets, without the prefix; None means all. A key with another value than its
            default counts as set in any case.

    Raises:
        SettingsError: A key is unknown, a value is not allowed or contradicts another, or a secret is not encrypted.
    """
    values = {key.removeprefix(f"{PROJECT}:"): text for key, text in raw.items() if key.startswith(f"{PROJECT}:")}
    fields = keys()
    values = profiles.apply(values, values if set_keys is None else {*set_keys, *_changed_keys(values)})
    problems = [_unknown_key(key) for key in values if key not in fields]
    # `secret: true` in Pulumi.yaml allows no default, and without a default every stack would have to set the key.
    problems += [
        Problem(key, "the stack's file holds this secret in clear text", secret_command(key))
        for key, text in values.items()
        if text and key in fields and _is_secret(fields[key]) and not is_encrypted(f"{PROJECT}:{key}")
    ]
    groups: dict[str, OptionGroup] = {}
    for name, group in _groups():
        group_values = {key: _value(field, values[key]) for key, field in _fields(group) if key in values}
        try:
            groups[name] = group.model_validate(group_values)
        except ValidationError as error:
            problems += [_invalid_value(group, detail) for detail in error.errors()]
    if not problems:
        settings = Settings.model_validate(groups)
        problems = [
            *checks.problems(
                cluster=settings.cluster,
                size=settings.size,
                workers=settings.workers,
                images=settings.images,
                storage=settings.storage,
                connections=settings.connections,
                access=settings.access,
            ),
            *sharing_options.problems(settings.sharing, namespace=settings.cluster.namespace, charts=settings.charts),
            *identity_checks.problems(settings.identity, cluster=settings.cluster, storage=settings.storage),
            *monitoring_options.problems(
                settings.monitoring, network=settings.network, namespace=settings.cluster.namespace
            ),
            *sign_in_options.problems(settings.sign_in, settings.connections),
            *tracing_options.problems(settings.tracing),
            *catalog_checks.problems(settings.catalog, size=settings.size, credentials=settings.credentials),
            *prediction_log_options.problems(settings.prediction_log),
        ]
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise SettingsError(f"The configuration of this stack cannot work:\n{lines}")
    return settings


def is_encrypted(key: str) -> bool:
    """Whether the current stack's file holds the value of a key, or a part of it, in encrypted form."""
    return pulumi.runtime.config.is_config_secret(f"{PROJECT}:{key}")


def keys() -> dict[str, FieldInfo]:
    """Every configuration key, without the project's name, with its field."""
    return {key: field for _, group in _groups() for key, field in _fields(group)}


def default_text(field: FieldInfo) -> str:
    """The default of a key, as Pulumi passes it to the program."""
    value = field.get_default(call_default_factory=True)
    return value.get_secret_value() if isinstance(value, SecretStr) else profiles.text(value)


def kubeconfig_files() -> list[Path]:
    """The kubeconfig files that kubectl reads, in its order."""
    paths = [path for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    return [Path(path) for path in paths] or [Path.home() / ".kube" / "config"]


def _changed_keys(values: Mapping[str, str]) -> set[str]:
    """Keys whose value is not the default, among those that a profile may set."""
    fields = keys()
    profile = profiles.profiles().get(values.get(profiles.KEY, ""), {})
    return {key for key in profile if values.get(key, default_text(fields[key])) != default_text(fields[key])}


def _groups() -> Iterator[tuple[str, type[OptionGroup]]]:
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, OptionGroup):
            yield name, field.annotation


def _fields(group: type[OptionGroup]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in group.model_fields.items():
        yield field.alias or name, field


def _value(field: FieldInfo, text: str) -> object:
    """Decode a value. Pulumi passes arrays and objects as JSON."""
    if get_origin(field.annotation) in {tuple, dict} or _is_model(field):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return text


def _is_model(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr


def _unknown_key(key: str) -> Problem:
    near = get_close_matches(key, keys(), n=1)
    hint = f"the nearest key is {near[0]}" if near else "Pulumi.yaml lists all keys"
    return Problem(key, f"unknown key; {hint}", f"pulumi config rm {key}")


def _invalid_value(group: type[OptionGroup], detail: object) -> Problem:
    """Describe a value that its type refuses, without the value of a secret."""
    error = dict(detail) if isinstance(detail, Mapping) else {}
    key = str(error["loc"][0])
    field = dict(_fields(group))[key]
    message = str(error["msg"]).removeprefix("Value error, ")
    if _is_secret(field):
        return Problem(key, f"given a secret; {message}", secret_command(key))
    if len(error["loc"]) > 1:
        # An unknown entry may be a secret in the wrong place.
        given = "unknown" if error["type"] == "extra_forbidden" else f"given {error['input']!r}"
        return _invalid_entry(field, error["loc"], f"{given}; {message}")
    example = field.examples[0] if field.examples else field.get_default(call_default_factory=True)
    return Problem(key, f"given {error['input']!r}; {message}", set_command(key, example))


def _invalid_entry(field: FieldInfo, location: tuple[str | int, ...], reason: str) -> Problem:
    """Describe a value inside of an array or an object, by its path."""
    key, *inside = [part for part in location if part != "[key]"]  # pydantic's mark of a refused key
    path = str(key) + "".join(f"[{part}]" if isinstance(part, int) else f'["{part}"]' for part in inside)
    command = set_command(str(key), field.examples[0]) if field.examples else f"pulumi config rm --path {quoted(path)}"
    return Problem(path, reason, command)

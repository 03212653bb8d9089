"""Reads a Pulumi stack: its outputs, and its configuration with the defaults."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.alias_generators import to_camel

from app import names
from app.cli.json_object import JsonObject
from app.cli.stack import kubeconfig, profile
from app.errors import MantaError

HIDDEN: Final = "[secret]"
"""What Pulumi prints in place of a secret."""
PREFIX: Final = "manta:"
PULUMI_TIMEOUT_S: Final = 120
"""Timeout of a `pulumi` command. Pulumi may read its state from a remote backend."""


class StackError(MantaError):
    """Pulumi cannot read the stack, or the stack is not up."""

    title = "Stack unavailable"


class Tunnel(BaseModel):
    """A tunnel from a port of this machine to a Kubernetes Service."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    name: str
    """`ray`, `mlflow`, `serve`, or `grafana` with `monitoring: install`."""
    namespace: str
    service: str
    port: int
    """Port of the Service."""
    local_port: int


class StackOutputs(BaseModel):
    """The outputs of a stack that the commands use. Other outputs are ignored."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    context: str
    namespace: str
    operator_namespace: str = ""
    """Namespace of the KubeRay operator."""
    image: str
    ray_dashboard_url: str
    mlflow_url: str
    serve_url: str
    forwards: tuple[Tunnel, ...] = Field(min_length=1)
    ray_token: SecretStr = SecretStr("")
    """Ray's token. It is encrypted unless the outputs were read with secrets."""
    serve_token: SecretStr = SecretStr("")
    """Token of the HTTP API. It is encrypted like Ray's token."""
    mlflow_username: str = ""
    mlflow_password: SecretStr = SecretStr("")
    """Password of MLflow's user. It is encrypted like Ray's token."""
    model_name: str = names.MODEL_NAME
    show_examples: bool = True
    """Whether rows may be shown. A stack of an earlier release has no such output."""
    stack: str = ""


def read_outputs(stack: str = "", *, show_secrets: bool = False) -> StackOutputs:
    """Read the outputs of a stack.

    Args:
        stack: Name of the stack; empty for the selected stack.
        show_secrets: Whether Pulumi decrypts secrets. It may need the stack's passphrase for that.

    Raises:
        StackError: `pulumi` is not installed, there is no such stack, or the stack is not up.
    """
    secrets_option = ["--show-secrets"] if show_secrets else []
    outputs = _run_pulumi("stack", "output", "--json", *secrets_option, *_stack_option(stack))
    if outputs.get("kubeconfig") == HIDDEN:
        secrets = _run_pulumi("stack", "output", "--json", "--show-secrets", *_stack_option(stack))
        outputs["kubeconfig"] = secrets["kubeconfig"]
    kubeconfig.use(str(outputs.get("kubeconfig", "")))
    try:
        return StackOutputs.model_validate(outputs)
    except ValidationError as error:
        missing = ", ".join(sorted({str(problem["loc"][0]) for problem in error.errors()}))
        raise StackError(
            f"The stack has no outputs {missing}: it is not up.", next_step="Bring it up with `pulumi up`."
        ) from error


def read_configuration(stack: str = "") -> dict[str, str]:
    """Read the configuration of a stack by key, without the prefix `manta:` and without secrets.

    Raises:
        StackError: `pulumi` is not installed, or there is no such stack.
    """
    configuration = _run_pulumi("config", "--json", *_stack_option(stack))
    values = {
        key.removeprefix(PREFIX): str(entry["value"])
        for key, entry in configuration.items()
        if key.startswith(PREFIX) and "value" in entry
    }
    if values.get(profile.KEY, profile.NONE) == profile.NONE:
        return values
    name = stack or _pulumi_output("stack", "--show-name").strip()
    return profile.apply(values, Path.cwd(), name.rpartition("/")[2])


def _stack_option(stack: str) -> list[str]:
    return ["--stack", stack] if stack else []


def _run_pulumi(*arguments: str) -> JsonObject:
    """Run a `pulumi` command that prints a JSON object.

    Raises:
        StackError: `pulumi` is not installed, failed, did not end in time, or printed no JSON.
    """
    try:
        document: JsonObject = json.loads(_pulumi_output(*arguments))
    except json.JSONDecodeError as error:
        raise _failure(arguments, error) from error
    return document


def _pulumi_output(*arguments: str) -> str:
    """Run a `pulumi` command and return its output.

    Raises:
        StackError: `pulumi` is not installed, failed, or did not end in time.
    """
    command = ["pulumi", "--non-interactive", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PULUMI_TIMEOUT_S, check=True).stdout
    except FileNotFoundError as error:
        raise StackError(
            "`pulumi` is not on PATH.", next_step="Install it: https://www.pulumi.com/docs/install/."
        ) from error
    except subprocess.CalledProcessError as error:
        message = error.stderr.strip().removeprefix("error: ")
        raise StackError(message, next_step="Select a stack with `pulumi stack select NAME`.") from error
    except subprocess.TimeoutExpired as error:
        raise _failure(arguments, error) from error


def _failure(arguments: Sequence[str], error: Exception) -> StackError:
    command = " ".join(["pulumi", "--non-interactive", *arguments])
    return StackError(f"`{command}` failed: {error}", next_step="Run this command yourself to see why.")

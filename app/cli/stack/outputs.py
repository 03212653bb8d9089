"""What the selected Pulumi stack says of itself: its outputs, and its configuration with the defaults."""

import json
import subprocess
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.alias_generators import to_camel

from app.errors import MantaError

PULUMI_TIMEOUT_S: Final = 120
"""Pulumi may have to read its state from far away."""


class StackError(MantaError):
    """The stack cannot be asked, or it is not up."""

    title = "Stack unavailable"


class Forward(BaseModel):
    """One tunnel: a Service of the cluster, and the port of this machine that leads to it."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    name: str
    namespace: str
    service: str
    port: int
    local_port: int


class Outputs(BaseModel):
    """What a stack that is up tells its clients; other outputs are not read."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    context: str
    namespace: str
    image: str
    ray_dashboard_url: str
    mlflow_url: str
    serve_url: str
    forwards: tuple[Forward, ...] = Field(min_length=1)
    ray_token: SecretStr = SecretStr("")
    """Ray's token, where secrets are shown."""
    stack: str = ""


def outputs(stack: str = "", *, show_secrets: bool = False) -> Outputs:
    """Read the outputs of a stack.

    Args:
        stack: Name of the stack; empty means the selected one.
        show_secrets: Whether to decrypt secrets, for which Pulumi may ask for the passphrase.

    Raises:
        StackError: Pulumi is missing or has no such stack, or the stack is not up.
    """
    found = _ask("stack", "output", "--json", *(["--show-secrets"] if show_secrets else []), *_named(stack))
    try:
        return Outputs.model_validate(found)
    except ValidationError as error:
        missing = ", ".join(sorted({str(problem["loc"][0]) for problem in error.errors()}))
        raise StackError(
            f"The stack has no outputs {missing}: it is not up.", next_step="Bring it up with `pulumi up`."
        ) from error


def configuration(stack: str = "") -> dict[str, str]:
    """Read the configuration of a stack, without the project's name before each key; secrets are left out.

    Raises:
        StackError: Pulumi is missing or has no such stack.
    """
    found = _ask("config", "--json", *_named(stack))
    return {key.rpartition(":")[2]: str(entry["value"]) for key, entry in found.items() if "value" in entry}


def _named(stack: str) -> list[str]:
    return ["--stack", stack] if stack else []


def _ask(*arguments: str) -> dict[str, Any]:
    command = ["pulumi", "--non-interactive", *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=PULUMI_TIMEOUT_S, check=True)
        found: dict[str, Any] = json.loads(answer.stdout)
    except FileNotFoundError as error:
        raise StackError(
            "`pulumi` is not on PATH.", next_step="Install it: https://www.pulumi.com/docs/install/."
        ) from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().removeprefix("error: ")
        raise StackError(said, next_step="Select a stack with `pulumi stack select dev`.") from error
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        raise StackError(f"`{' '.join(command)}` did not answer: {error}", next_step="Run it by hand.") from error
    return found

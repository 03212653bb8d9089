"""Passwords and tokens: supplied by configuration or generated, and kept in Kubernetes Secrets alone."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_random as random
from pulumi_kubernetes import core, meta
from pydantic import SecretStr

from infra import labels

LENGTH: Final = 40
"""Characters of a generated secret: 238 bits, of letters and digits that every consumer takes unquoted."""
CHECKSUM_LENGTH: Final = 16
"""Hexadecimal digits: enough to see a change."""


@dataclass(frozen=True, kw_only=True)
class SecretReference:
    """A Kubernetes Secret as others refer to it."""

    resource: core.v1.Secret
    """For what reads the Secret without an output that says so."""
    name: pulumi.Output[str]
    checksum: pulumi.Output[str]
    """Changes with the content; for pod annotations, since a changed Secret restarts nothing by itself."""


def secret_text(name: str, supplied: SecretStr, opts: pulumi.ResourceOptions | None = None) -> pulumi.Output[str]:
    """Take the supplied secret, or generate one that stays in the stack's state, encrypted."""
    if supplied.get_secret_value():
        return pulumi.Output.secret(supplied.get_secret_value())
    generated = random.RandomPassword(name, length=LENGTH, special=False, opts=opts)
    return pulumi.Output.secret(generated.result)


def kubernetes_secret(
    name: str,
    secret: str,
    *,
    namespace: pulumi.Input[str],
    component: str,
    content: Mapping[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
) -> SecretReference:
    """Make a Kubernetes Secret and what others need in order to refer to it.

    The checksum is no secret: a supplied value has at least `vocabulary.SECRET_MIN_LENGTH` characters and a
    generated one more, so nothing can be guessed from it.
    """
    made = core.v1.Secret(
        name,
        metadata=meta.v1.ObjectMetaArgs(name=secret, namespace=namespace, labels=labels.of(component)),
        string_data=content,
        opts=opts,
    )
    digest = pulumi.Output.unsecret(pulumi.Output.all(**content).apply(checksum))
    return SecretReference(resource=made, name=made.metadata.name, checksum=digest)


def checksum(content: Mapping[str, str]) -> str:
    """Digest of the content of a Secret."""
    text = "\0".join(f"{key}\0{content[key]}" for key in sorted(content))
    return hashlib.sha256(text.encode()).hexdigest()[:CHECKSUM_LENGTH]

"""Passwords and tokens: supplied by the configuration or generated, and stored in Kubernetes Secrets only."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import pulumi
import pulumi_random as random
from pulumi_kubernetes import core, meta
from pydantic import SecretStr

from infra import labels

LENGTH: Final = 40
"""Characters of a generated secret: 238 bits, letters and digits only, so that no reader has to quote it."""
CHECKSUM_LENGTH: Final = 16
"""Hexadecimal digits of a checksum: enough to detect a change."""


@dataclass(frozen=True, kw_only=True)
class SecretReference:
    """A Kubernetes Secret as other resources refer to it."""

    resource: core.v1.Secret
    """For the `depends_on` of resources that read the Secret by its name."""
    name: pulumi.Output[str]
    """Name of the Secret in the cluster."""
    checksum: pulumi.Output[str]
    """Digest of the content, for pod annotations: a changed Secret by itself restarts no pod."""


def secret_value(name: str, supplied: SecretStr, opts: pulumi.ResourceOptions | None = None) -> pulumi.Output[str]:
    """Return the supplied secret, or generate a secret, which stays encrypted in the stack's state."""
    if supplied.get_secret_value():
        return pulumi.Output.secret(supplied.get_secret_value())
    generated = random.RandomPassword(name, length=LENGTH, special=False, opts=opts)
    return pulumi.Output.secret(generated.result)


def kubernetes_secret(
    name: str,
    secret_name: str,
    *,
    namespace: pulumi.Input[str],
    component: str,
    content: Mapping[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
    digest: Callable[[Mapping[str, str]], str] | None = None,
    is_versioned: bool = False,
) -> SecretReference:
    """Register a Kubernetes Secret.

    The checksum is not secret: a supplied value has at least `vocabulary.SECRET_MIN_LENGTH` characters and a
    generated value has more, so the checksum reveals nothing about them.

    Args:
        name: Name of the Pulumi resource.
        secret_name: Name of the Secret in the cluster.
        namespace: Namespace of the Secret.
        component: Platform component that the labels name.
        content: Values by key.
        opts: Options of the Pulumi resource.
        digest: `slow_checksum` for values that may be short; None means `checksum`.
        is_versioned: Whether the checksum is the end of the Secret's name. Then other content makes another Secret, and
            Pulumi deletes the old Secret at the end of the update. Until then, pods that refer to the old name keep
            the old content, as the pods of the old Ray cluster must during an upgrade. A pod that starts afterwards
            and still names the old Secret needs an optional reference (`from_secret`).
    """
    text: pulumi.Output[str] = pulumi.Output.unsecret(pulumi.Output.all(**content).apply(digest or checksum))
    full_name = pulumi.Output.concat(secret_name, "-", text) if is_versioned else pulumi.Output.from_input(secret_name)
    secret = core.v1.Secret(
        name,
        metadata=meta.v1.ObjectMetaArgs(name=full_name, namespace=namespace, labels=labels.of(component)),
        string_data=content,
        opts=opts,
    )
    return SecretReference(resource=secret, name=full_name, checksum=text)


def existing_secret(
    name: str, secret_name: str, *, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> SecretReference:
    """Read a Kubernetes Secret that somebody else created, so that a change of it restarts the pods at the next update.

    Pulumi stores what it reads, encrypted, in the stack's state.

    Args:
        name: Name of the Pulumi resource.
        secret_name: Name of the Secret in the cluster. The update fails without it.
        namespace: Namespace of the Secret.
        opts: Options of the Pulumi resource.
    """
    secret = core.v1.Secret.get(name, pulumi.Output.concat(namespace, "/", secret_name), opts=opts)
    text: pulumi.Output[str] = pulumi.Output.unsecret(secret.data.apply(lambda data: slow_checksum(data or {})))
    return SecretReference(resource=secret, name=pulumi.Output.from_input(secret_name), checksum=text)


def checksum(content: Mapping[str, str]) -> str:
    """Digest of the content of a Secret."""
    text = "\0".join(f"{key}\0{content[key]}" for key in sorted(content))
    return hashlib.sha256(text.encode()).hexdigest()[:CHECKSUM_LENGTH]


def slow_checksum(content: Mapping[str, str]) -> str:
    """Digest of the content of a Secret with a password that somebody else chose, which may be short.

    scrypt takes 50 ms for each password that somebody tries to find the digest of.
    """
    return _stretch(checksum(content))


@cache
def _stretch(text: str) -> str:
    return hashlib.scrypt(text.encode(), salt=b"manta", n=2**14, r=8, p=1, dklen=CHECKSUM_LENGTH // 2).hex()


def from_secret(secret_name: pulumi.Input[str], key: str, *, is_optional: bool = False) -> core.v1.EnvVarSourceArgs:
    """Source of an environment variable: one key of a Secret.

    Args:
        secret_name: Name of the Secret.
        key: Key of the value.
        is_optional: Whether the container starts without the variable if the Secret does not exist. Otherwise the
            container waits for the Secret.
    """
    selector = core.v1.SecretKeySelectorArgs(name=secret_name, key=key, optional=is_optional or None)
    return core.v1.EnvVarSourceArgs(secret_key_ref=selector)

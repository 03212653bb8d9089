"""The users of MLflow: the administrator, and the user of Ray's pods, whose name changes with its password.

MLflow knows both users of the pods while an upgrade replaces the Ray cluster, so neither cluster is refused.
`users_program.py` sets the users in MLflow's database, and `oidc_users_program.py` in that of mlflow-oidc-auth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi
from pulumi_command import local
from pydantic import SecretStr

from infra import labels, names
from infra.components.kubectl_script import WITH_KUBECONFIG
from infra.components.mlflow import database
from infra.config.connection_options import ConnectionOptions
from infra.config.options import StorageOptions
from infra.credentials import SecretReference, checksum, kubernetes_secret, secret_value

PROGRAM: Final = (Path(__file__).parent / "users_program.py").read_text(encoding="utf-8")
INI_VOLUME: Final = "ini-file"
"""Volume of the chart that holds the file with the administrator and the address of the users' database."""
INI_DIR: Final = "/config"
TMP_MOUNT: Final[dict[str, object]] = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108  (a volume of the chart)
USER_PREFIX: Final = "ray-"
USER_DIGITS: Final = 8
"""Hexadecimal digits of the password's checksum in the name of the pods' user."""
TIMEOUT_S: Final = 60
REMOVE: Final = (
    WITH_KUBECONFIG
    + f"""\
kubectl ${{MANTA_CONTEXT:+--context "$MANTA_CONTEXT"}} --namespace "$MANTA_NAMESPACE" --request-timeout={TIMEOUT_S}s \\
    exec deployment/{names.MLFLOW} --container mlflow -- python -c "$MANTA_PROGRAM" remove "$MANTA_USER" 2>&1 ||
    echo "MLflow still has the user $MANTA_USER. Delete it on MLflow's page."
"""
)
"""A failed removal is logged, and the update continues."""


@dataclass(frozen=True, kw_only=True)
class ClientArgs:
    """The user of Ray's pods, and how to reach the pod that removes it."""

    namespace: pulumi.Input[str]
    password: SecretStr
    """Empty generates one."""
    context: pulumi.Input[str]
    kubeconfig: pulumi.Input[str] | None
    """Content of a kubeconfig; None means the kubeconfig files that kubectl reads."""
    program: str = PROGRAM
    """Program that removes the user from MLflow's users."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """The registered user of Ray's pods."""

    username: pulumi.Output[str]
    secret: SecretReference
    """Secret with the name and the password. Another password is in another Secret."""


def register_client(name: str, args: ClientArgs, opts: pulumi.ResourceOptions) -> Client:
    """Register the Secret with the name and the password of the pods' user."""
    password = secret_value(f"{name}-client-password", args.password, opts)
    username = pulumi.Output.unsecret(password.apply(client_name))
    secret = kubernetes_secret(
        f"{name}-client-secret",
        names.MLFLOW_CLIENT_SECRET,
        namespace=args.namespace,
        component=labels.MLFLOW,
        content={names.USERNAME_KEY: username, names.PASSWORD_KEY: password},
        opts=opts,
        is_versioned=True,
    )
    return Client(username=username, secret=secret)


def client_name(password: str) -> str:
    """Name of the pods' user: another password is another user."""
    return USER_PREFIX + checksum({names.PASSWORD_KEY: password})[:USER_DIGITS]


def register_removal(name: str, args: ClientArgs, client: Client, opts: pulumi.ResourceOptions) -> None:
    """Register a command that removes the pods' user at the end of the update that replaces it.

    Pulumi deletes a replaced resource after it has updated all others, so the new Ray cluster already serves.

    Args:
        name: Prefix of the names of the Pulumi resources.
        args: How to reach MLflow's pod.
        client: The user.
        opts: Options of the Pulumi resource. It must depend on the server.
    """
    local.Command(
        f"{name}-client-user",
        delete=REMOVE,
        triggers=[client.username],
        environment={
            "MANTA_NAMESPACE": args.namespace,
            "MANTA_CONTEXT": args.context,
            "MANTA_KUBECONFIG": args.kubeconfig or "",
            "MANTA_PROGRAM": args.program,
            "MANTA_USER": client.username,
        },
        opts=opts,
    )


def init_container(
    storage: StorageOptions,
    connections: ConnectionOptions,
    *,
    image: str,
    client_secret: pulumi.Input[str],
    security_context: Mapping[str, object],
    volume_mounts: list[dict[str, object]],
) -> dict[str, object]:
    """Init container that sets the users before the server starts.

    Args:
        storage: Where MLflow keeps its users.
        connections: TLS of Postgres.
        image: Image of MLflow.
        client_secret: Secret of the pods' user.
        security_context: Security context of the container.
        volume_mounts: Mounts of the volume and of the certificate authorities.
    """
    return set_users_container(
        PROGRAM,
        image=image,
        environment=[
            *database.environment(storage, connections),
            *references("CLIENT", client_secret),
            {"name": "MLFLOW_AUTH_CONFIG_PATH", "value": f"{INI_DIR}/auth_result.ini"},
        ],
        memory=storage.mlflow_memory,
        security_context=security_context,
        volume_mounts=[{"name": INI_VOLUME, "mountPath": INI_DIR}, TMP_MOUNT, *volume_mounts],
    )


def references(user: str, secret_name: pulumi.Input[str]) -> list[dict[str, object]]:
    """Environment variables with the name and the password of a user, from a Secret.

    Args:
        user: Prefix of the variables.
        secret_name: Name of the Secret.
    """
    return [
        {"name": f"{user}_{name}", "valueFrom": {"secretKeyRef": {"name": secret_name, "key": key}}}
        for name, key in (("USERNAME", names.USERNAME_KEY), ("PASSWORD", names.PASSWORD_KEY))
    ]


def set_users_container(
    program: str,
    *,
    image: str,
    environment: list[dict[str, object]],
    memory: str,
    security_context: Mapping[str, object],
    volume_mounts: list[dict[str, object]],
) -> dict[str, object]:
    """Init container that runs a program with the argument `set`.

    Args:
        program: Text of the Python program.
        image: Image of MLflow.
        environment: All environment variables.
        memory: Memory limit.
        security_context: Security context of the container.
        volume_mounts: All mounts.
    """
    return {
        "name": "set-users",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", program, "set"],
        "env": environment,
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": memory}},
        "securityContext": dict(security_context),
        "volumeMounts": volume_mounts,
    }

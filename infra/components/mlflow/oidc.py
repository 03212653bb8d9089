"""Sign-in to MLflow with OpenID Connect (OIDC): the plugin mlflow-oidc-auth, its values in the chart, and its users.

People sign in to MLflow's page with their accounts at the provider. The administrator and Ray's pods send a name and a
password, as with MLflow's basic authentication. `oidc_users_program.py` stores these two users.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi

from infra import labels, names
from infra.components import certificate_authorities
from infra.components.mlflow import database, users
from infra.config.connection_options import ConnectionOptions
from infra.config.options import StorageOptions
from infra.config.sign_in_options import MlflowOidc, SignInOptions
from infra.credentials import SecretReference, existing_secret, kubernetes_secret, slow_checksum

PROGRAM: Final = (Path(__file__).parent / "oidc_users_program.py").read_text(encoding="utf-8")
SCHEMA: Final = "mlflow_oidc"
"""Schema of the plugin's tables in `postgresAuthDatabase`: the tables of MLflow's own users have the same names."""
PERMISSION: Final = "READ"
"""What members of `groups` may do with experiments and models of others, as MLflow's basic authentication allows."""
ENVIRONMENT: Final = {
    "AUTOMATIC_LOGIN_REDIRECT": "true",
    "DEFAULT_LANDING_PAGE_IS_PERMISSIONS": "false",
}
"""A person who is signed in at the provider sees MLflow's first page without a click."""


@dataclass(frozen=True, kw_only=True)
class Oidc:
    """The provider, as the values of the chart refer to it."""

    options: MlflowOidc
    secret_name: pulumi.Input[str]
    """Secret with the client secret."""
    redirect_uri: str
    """Address to which the provider sends people back; empty means the address by which a person reached MLflow."""

    @classmethod
    def of(cls, options: SignInOptions, secret: SecretReference, redirect_uri: str) -> "Oidc":
        """The provider with its registered Secret."""
        return cls(options=options.mlflow_oidc, secret_name=secret.name, redirect_uri=redirect_uri)


def register_secret(
    name: str, options: SignInOptions, *, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> SecretReference | None:
    """Register the Secret with the client secret, or read the one that `mlflowOidcSecret` names."""
    if not options.is_enabled:
        return None
    if options.mlflow_oidc_secret:
        return existing_secret(f"{name}-oidc", options.mlflow_oidc_secret, namespace=namespace, opts=opts)
    client_secret = pulumi.Output.secret(options.mlflow_oidc_client_secret.get_secret_value())
    return kubernetes_secret(
        f"{name}-oidc",
        names.OIDC_SECRET,
        namespace=namespace,
        component=labels.MLFLOW,
        content={names.OIDC_SECRET_KEY: client_secret},
        opts=opts,
        digest=slow_checksum,
    )


def users_uri(storage: StorageOptions) -> str:
    """Address of the database of the plugin."""
    if storage.mlflow_backend == "postgres":
        return f"{database.auth_uri(storage)}?options=-csearch_path%3D{SCHEMA}"
    return f"sqlite:///{database.DATA_DIR}/oidc_auth.db"


def values(oidc: Oidc, storage: StorageOptions) -> dict[str, object]:
    """Values of the chart that replace those of basic authentication."""
    options = oidc.options
    auth: dict[str, object] = {
        "enabled": True,
        "discoveryUrl": options.discovery_url,
        "clientId": options.client_id,
        "existingSecret": {"name": oidc.secret_name, "clientSecretKey": names.OIDC_SECRET_KEY},
        "redirectUri": oidc.redirect_uri,
        "scope": " ".join(options.scopes),
        "groupsAttribute": options.groups_claim,
        "groupName": list(options.groups),
        "adminGroupName": list(options.admin_groups),
        "defaultPermission": PERMISSION,
        # Without a public https address, people reach MLflow over http, where a browser sends no secure cookie.
        "sessionCookieSecure": oidc.redirect_uri.startswith("https://"),
        "database": {"uri": users_uri(storage)},
    }
    return {"oidcAuth": auth}


def environment(connections: ConnectionOptions) -> dict[str, str]:
    """Environment variables of the server for which the chart has no values."""
    if not connections.mlflow_oidc_ca:
        return ENVIRONMENT
    authorities = certificate_authorities.path(connections, certificate_authorities.OIDC)
    # OpenSSL's variable. The clients of the object stores have their own variables.
    return {**ENVIRONMENT, "SSL_CERT_FILE": authorities}


def init_container(
    storage: StorageOptions,
    connections: ConnectionOptions,
    *,
    image: str,
    client_secret: pulumi.Input[str],
    security_context: Mapping[str, object],
    volume_mounts: list[dict[str, object]],
) -> dict[str, object]:
    """Init container that sets the administrator and the user of Ray's pods before the server starts.

    Args:
        storage: Where MLflow keeps its users.
        connections: TLS of Postgres.
        image: Image of MLflow.
        client_secret: Secret of the pods' user.
        security_context: Security context of the container.
        volume_mounts: Mounts of the volume and of the certificate authorities.
    """
    variables: list[dict[str, object]] = [{"name": "OIDC_USERS_DB_URI", "value": users_uri(storage)}]
    if storage.mlflow_backend == "postgres":
        variables.append({"name": "OIDC_SCHEMA", "value": SCHEMA})
    return users.set_users_container(
        PROGRAM,
        image=image,
        environment=[
            *database.environment(storage, connections),
            *users.references("ADMIN", names.MLFLOW_SECRET),
            *users.references("CLIENT", client_secret),
            *variables,
        ],
        memory=storage.mlflow_memory,
        security_context=security_context,
        volume_mounts=[users.TMP_MOUNT, *volume_mounts],
    )

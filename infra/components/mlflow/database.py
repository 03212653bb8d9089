"""How MLflow reaches its database, and the init containers that prepare the database and the auth file.

libpq reads Postgres' address, credentials and TLS mode from environment variables, so no URL contains the password: a
password may hold any character.
"""

from collections.abc import Mapping
from typing import Final

from infra import names
from infra.components import certificate_authorities
from infra.config.connection_options import ConnectionOptions
from infra.config.options import StorageOptions

DATA_DIR: Final = "/mlflow/data"
POSTGRES_DRIVER: Final = "psycopg2"
"""Driver in MLflow's image. If an address names no driver, SQLAlchemy 2.1 uses psycopg, which the image lacks."""
POSTGRES: Final = f"postgresql+{POSTGRES_DRIVER}://"
SQLITE: Final = f"sqlite:///{DATA_DIR}/mlflow.db"
MIGRATE: Final = (
    "import sys; from mlflow.store.db import utils; "
    "utils._initialize_tables(utils.create_sqlalchemy_engine_with_retry(sys.argv[1]))"
)
"""Creates the tables of an empty database, and migrates those of an older MLflow, as the chart does for Postgres."""
AUTH_CACHE_S: Final = 60
"""Seconds for which MLflow remembers that a password was right. A deleted user keeps access for that long. Without this
cache, checks of passwords take three quarters of MLflow's CPU time: 0.1 s each, and two in most requests."""
CONFIGURE_AUTH: Final = f"""\
sed -i -e '/^auth_cache_ttl_seconds/d' -e "s|^database_uri = .*|database_uri = $AUTH_DATABASE|" \\
    -e '/^database_uri/a auth_cache_ttl_seconds = {AUTH_CACHE_S}' /config/auth_result.ini"""
"""Sets the database of users and the cache in MLflow's auth file. The chart's init container writes this file, and the
chart has no values for a URL without a password and for the cache."""


def uri(storage: StorageOptions) -> str:
    """Address of the database of runs and registered models."""
    return POSTGRES if storage.mlflow_backend == "postgres" else SQLITE


def auth_uri(storage: StorageOptions) -> str:
    """Address of the database of users."""
    if storage.mlflow_backend == "postgres":
        return f"{POSTGRES}/{storage.postgres_auth_database}"
    return f"sqlite:///{DATA_DIR}/basic_auth.db"


def postgres_secret(storage: StorageOptions) -> str:
    """Name of the Secret with Postgres' user and password."""
    return storage.postgres_secret or names.POSTGRES_SECRET


def tls(storage: StorageOptions, connections: ConnectionOptions) -> dict[str, str]:
    """Environment variables of libpq for TLS."""
    if storage.mlflow_backend != "postgres":
        return {}
    variables: dict[str, str] = {"PGSSLMODE": connections.postgres_ssl_mode}
    if connections.postgres_ssl_mode in ("verify-ca", "verify-full"):
        variables["PGSSLROOTCERT"] = certificate_authorities.path(connections, certificate_authorities.POSTGRES)
    return variables


def init_containers(
    storage: StorageOptions,
    connections: ConnectionOptions,
    *,
    server_image: str,
    shell_image: str,
    security_context: Mapping[str, object],
    volume_mounts: list[dict[str, object]],
    has_auth_file: bool,
) -> list[dict[str, object]]:
    """Init containers that run after those of the chart.

    Args:
        storage: Where MLflow keeps its state.
        connections: TLS of Postgres.
        server_image: Image of MLflow.
        shell_image: Image with `sed`.
        security_context: Security context of the containers.
        volume_mounts: Mounts of the volume and of the certificate authorities.
        has_auth_file: Whether the chart writes the auth file.
    """
    common = {"imagePullPolicy": "IfNotPresent", "securityContext": dict(security_context)}
    migrate: dict[str, object] = {
        "name": "migrate-database",
        "image": server_image,
        "command": ["python", "-c", MIGRATE, uri(storage)],
        "env": environment(storage, connections),
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"memory": storage.mlflow_memory},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *volume_mounts],  # noqa: S108  (a volume of the chart)
        **common,
    }
    auth: dict[str, object] = {
        "name": "configure-auth",
        "image": shell_image,
        "command": ["sh", "-c", CONFIGURE_AUTH],
        "env": [{"name": "AUTH_DATABASE", "value": auth_uri(storage)}],
        "volumeMounts": [{"name": "ini-file", "mountPath": "/config"}],
        **common,
    }
    return [migrate, auth] if has_auth_file else [migrate]


def environment(storage: StorageOptions, connections: ConnectionOptions) -> list[dict[str, object]]:
    """Environment variables of an init container that lead libpq to Postgres."""
    if storage.mlflow_backend != "postgres":
        return []
    secret = postgres_secret(storage)
    values = {
        "PGHOST": storage.postgres_host,
        "PGPORT": str(storage.postgres_port),
        "PGDATABASE": storage.postgres_database,
        **tls(storage, connections),
    }
    references = {"PGUSER": names.USERNAME_KEY, "PGPASSWORD": names.PASSWORD_KEY}
    variables: list[dict[str, object]] = [{"name": name, "value": value} for name, value in values.items()]
    for name, key in references.items():
        variables.append({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
    return variables

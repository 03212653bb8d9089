"""Data services outside of a stack, as a site has them: Postgres in a pod, Redis and an S3 server on this machine.

Each has a DNS name in the cluster. Postgres and Redis use TLS, each with a certificate that signs itself.
"""

import json
import socket
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
from redis import Redis

from tests.support import object_stores, redis_server
from tests.support.json_object import JsonObject
from tests.support.redis_server import RedisServer
from tests.support.tools import Tools
from tests.support.waiting import wait_for

NAMESPACE: Final = "manta-e2e-data"
DOMAIN: Final = f"{NAMESPACE}.svc.cluster.local"
BUCKET: Final = "manta"
ARTIFACT_PREFIX: Final = "models"
POSTGRES: Final = "postgres"
"""Name of the pod and of the Service, and value of the pod's label `app`."""
POSTGRES_IMAGE: Final = "docker.io/library/postgres:15"
POSTGRES_HOST: Final = f"{POSTGRES}.{DOMAIN}"
POSTGRES_PORT: Final = 5432
REDIS_HOST: Final = f"redis.{DOMAIN}"
POSTGRES_PASSWORD: Final = "p/a&s@s:w#r%d"  # noqa: S105 - of a server that the tests start
REDIS_PASSWORD: Final = "r/e&d@i:s#1%2"  # noqa: S105 - as above
"""Password of Redis' user `default`, which Ray uses."""
REDIS_ADMIN: Final = "site-admin"
"""Name and password of the Redis user that changes the password of the user `default`."""
ARTIFACT_SECRET: Final = "site-artifacts"  # noqa: S105 - a name
START_TIMEOUT_S: Final = 120
START_POSTGRES: Final = """\
set -eu
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
install -d -o postgres -m 700 /data/postgres
install -o postgres -m 600 /tls/server.pem /tls/key.pem /data
cd /data
setpriv --reuid postgres --regid postgres --clear-groups \\
    initdb -D /data/postgres -U postgres --auth-local=trust --auth-host=scram-sha-256
echo 'hostssl all all all scram-sha-256' >> /data/postgres/pg_hba.conf
exec setpriv --reuid postgres --regid postgres --clear-groups postgres -D /data/postgres \\
    -c listen_addresses='*' -c unix_socket_directories=/tmp \\
    -c ssl=on -c ssl_cert_file=/data/server.pem -c ssl_key_file=/data/key.pem
"""
"""Starts a server that accepts only TLS over the network. In the container, psql needs no password."""


@dataclass(frozen=True, kw_only=True)
class SiteServices:
    """The running services."""

    machine: Tools
    redis: RedisServer
    s3_url: str
    """Address of the S3 server on this machine."""
    postgres_authorities: str
    """Certificate of Postgres, in PEM form."""

    @property
    def settings(self) -> dict[str, object]:
        """Configuration keys of a stack that uses the services."""
        return {
            "mlflowBackend": "postgres",
            "postgresHost": POSTGRES_HOST,
            "postgresSslMode": "verify-full",
            "postgresCa": self.postgres_authorities,
            "artifactRoot": f"s3://{BUCKET}/{ARTIFACT_PREFIX}",
            "artifactEndpoint": f"http://s3.{DOMAIN}:{urlsplit(self.s3_url).port}",
            "artifactSecret": ARTIFACT_SECRET,
            "redis": "external",
            "redisAddress": f"{REDIS_HOST}:{self.redis.port}",
            "redisCa": Path(self.redis.authorities).read_text(encoding="utf-8"),
        }

    def sql(self, statement: str, *, database: str = "postgres") -> str:
        """Run an SQL statement as the administrator of Postgres, and return the result."""
        command = ("psql", "-h", "/tmp", "-U", "postgres", "-d", database, "-tAc", statement)  # noqa: S108 - in the pod
        return self.machine.kubectl("exec", "-n", NAMESPACE, POSTGRES, "--", *command).strip()

    def artifacts(self) -> str:
        """Return the list of the objects in the bucket, as XML."""
        return httpx.get(f"{self.s3_url}/{BUCKET}", params={"list-type": "2"}).raise_for_status().text

    def redis_admin(self) -> Redis:
        """Return a client that is logged in to Redis as the administrator."""
        return Redis(
            port=self.redis.port,
            username=REDIS_ADMIN,
            password=REDIS_ADMIN,
            ssl=True,
            ssl_ca_certs=self.redis.authorities,
            ssl_check_hostname=False,
        )


@contextmanager
def running(folder: Path, machine: Tools, *, node: str, node_address: str) -> Iterator[SiteServices]:
    """Start the services, and end them afterwards.

    Args:
        folder: Folder for data, certificates and logs.
        machine: The tools.
        node: Node that Postgres' pod runs on.
        node_address: Address of a node. Pods reach this machine at the address from which it reaches the node.
    """
    host = address_towards(node_address)
    redis_folder, postgres_folder = folder / "redis", folder / "postgres"
    redis_folder.mkdir()
    postgres_folder.mkdir()
    certificate = redis_server.create_certificates(postgres_folder, POSTGRES_HOST)
    with (
        redis_server.running(
            redis_folder,
            *("--appendonly", "yes"),
            *("--requirepass", REDIS_PASSWORD),
            *("--user", REDIS_ADMIN, "on", f">{REDIS_ADMIN}", "~*", "+@all"),
            uses_tls=True,
            host=host,
            name=REDIS_HOST,
        ) as redis_process,
        object_stores.s3_server(folder / "s3.log", host) as s3_url,
    ):
        httpx.put(f"{s3_url}/{BUCKET}").raise_for_status()
        services = SiteServices(
            machine=machine, redis=redis_process, s3_url=s3_url, postgres_authorities=certificate.read_text()
        )
        try:
            ports = {"redis": redis_process.port, "s3": urlsplit(s3_url).port or 80}
            apply(machine, folder, _objects(machine, postgres_folder, node, host, ports))
            wait_for("Postgres", lambda: _is_postgres_ready(machine), timeout_s=START_TIMEOUT_S)
            services.sql(f"CREATE ROLE mlflow LOGIN PASSWORD '{POSTGRES_PASSWORD}'")
            for database in ("mlflow", "mlflow_auth"):
                services.sql(f"CREATE DATABASE {database} OWNER mlflow")
            yield services
        finally:
            machine.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


def apply(machine: Tools, folder: Path, objects: list[JsonObject]) -> None:
    """Create Kubernetes objects."""
    file = folder / "objects.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}), encoding="utf-8")
    machine.kubectl("apply", "--server-side", "-f", str(file))


def secret(name: str, namespace: str, content: dict[str, str]) -> JsonObject:
    """A Secret."""
    data = {key: b64encode(value.encode()).decode() for key, value in content.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "data": data}


def _objects(machine: Tools, postgres_folder: Path, node: str, host: str, ports: Mapping[str, int]) -> list[JsonObject]:
    tls = {name: (postgres_folder / name).read_text(encoding="utf-8") for name in ("server.pem", "key.pem")}
    image = machine.site.get("postgresImage", POSTGRES_IMAGE)
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        secret("postgres-tls", NAMESPACE, tls),
        _postgres_pod(image, node),
        _service(POSTGRES, {"selector": {"app": POSTGRES}, "ports": [{"port": POSTGRES_PORT}]}),
        *(item for name, port in ports.items() for item in _name_of_this_machine(name, host, port)),
    ]


def _postgres_pod(image: str, node: str) -> JsonObject:
    mounts = [{"name": "data", "mountPath": "/data"}, {"name": "tls", "mountPath": "/tls"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POSTGRES, "namespace": NAMESPACE, "labels": {"app": POSTGRES}},
        "spec": {
            "nodeName": node,
            "containers": [
                {
                    "name": POSTGRES,
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", START_POSTGRES],
                    "readinessProbe": {
                        "exec": {"command": ["psql", "-h", "/tmp", "-U", "postgres", "-c", "SELECT 1"]},  # noqa: S108
                        "periodSeconds": 2,
                    },
                    "volumeMounts": mounts,
                }
            ],
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "tls", "secret": {"secretName": "postgres-tls"}}],
        },
    }


def _name_of_this_machine(name: str, host: str, port: int) -> Iterator[JsonObject]:
    """Objects that give an address of this machine a DNS name in the cluster: a Service without pods."""
    yield _service(name, {"clusterIP": "None", "ports": [{"port": port}]})
    yield {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host]}],
        "ports": [{"port": port}],
    }


def _service(name: str, spec: JsonObject) -> JsonObject:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def _is_postgres_ready(machine: Tools) -> bool:
    query = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    return machine.kubectl("get", "pod", POSTGRES, "-n", NAMESPACE, "-o", query) == "True"


def address_towards(address: str) -> str:
    """Address of this machine from which it reaches another address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.connect((address, 9))  # sends nothing
        return str(connection.getsockname()[0])

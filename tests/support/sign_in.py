"""MLflow with the plugin mlflow-oidc-auth, and an OpenID Connect provider, as processes on the loopback address.

They run in an environment of their own, which has the packages of MLflow's image.
"""

import json
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from app.cli.ports import free_ports
from infra.components.mlflow import oidc
from tests.support.json_object import JsonObject
from tests.support.local import clean_environment
from tests.support.waiting import wait_until

BIN: Final = Path(__file__).parents[2] / ".venv" / "sign-in" / "bin"
START_TIMEOUT_S: Final = 300
PROVIDER: Final = """\
import json, sys, uvicorn
from oidc_provider_mock import app
from oidc_provider_mock._storage import User
host, port, certificate, key, people = sys.argv[1:]
users = [User(sub=name, claims=claims) for name, claims in json.loads(people).items()]
tls = {"ssl_certfile": certificate, "ssl_keyfile": key}
uvicorn.run(app(user_claims=users), interface="wsgi", host=host, port=int(port), **tls)
"""
PAGE: Final = {"accept": "text/html"}
"""Header of a browser that opens a page. MLflow answers other requests without a session with 401."""


@contextmanager
def provider(
    folder: Path, certificate: Path, people: Mapping[str, JsonObject], *, host: str = "localhost"
) -> Iterator[str]:
    """A provider with TLS that signs in everybody without a password; yields its discovery URL.

    Args:
        folder: Folder for the log, and of `key.pem`.
        certificate: Certificate for the host.
        people: Claims of each account.
        host: Name or address of this machine on which the provider listens.
    """
    assert BIN.exists(), "make .venv/.sign-in installs the provider and MLflow"
    (port,) = free_ports(1)
    url = f"https://{host}:{port}/.well-known/openid-configuration"
    arguments = [host, str(port), str(certificate), str(folder / "key.pem"), json.dumps(people)]
    with (folder / "provider.log").open("w") as log:
        process = subprocess.Popen([BIN / "python", "-c", PROVIDER, *arguments], stdout=log, stderr=log)
    try:
        wait_until(lambda: httpx.get(url, verify=ssl.create_default_context(cafile=certificate)).is_success, what=url)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@dataclass(frozen=True, kw_only=True)
class OidcMlflow:
    """MLflow as the pods of a stack with `mlflowOidc` run it. The server may start several times."""

    folder: Path
    discovery_url: str
    certificate: Path
    groups: str
    admin_groups: str

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that the chart makes from the values of the stack."""
        return clean_environment() | {
            "OIDC_DISCOVERY_URL": self.discovery_url,
            "OIDC_CLIENT_ID": "mlflow",
            "OIDC_CLIENT_SECRET": "the-secret-of-a-test",
            "OIDC_SCOPE": "openid email profile",
            "OIDC_GROUPS_ATTRIBUTE": "groups",
            "OIDC_GROUP_NAME": self.groups,
            "OIDC_ADMIN_GROUP_NAME": self.admin_groups,
            "OIDC_USERS_DB_URI": f"sqlite:///{self.folder}/oidc_auth.db",
            "DEFAULT_MLFLOW_PERMISSION": oidc.PERMISSION,
            "SESSION_COOKIE_SECURE": "false",
            "SECRET_KEY": "a-key-of-a-test",
            "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "SSL_CERT_FILE": str(self.certificate),
            **oidc.ENVIRONMENT,
        }

    def set_users(self, *, admin: str, client: str, client_name: str) -> None:
        """Run the init container `set-users` with the passwords of the stack."""
        users = {"ADMIN_USERNAME": "admin", "ADMIN_PASSWORD": admin}
        users |= {"CLIENT_USERNAME": client_name, "CLIENT_PASSWORD": client}
        self._run("set", environment=users)

    def remove_user(self, name: str) -> None:
        """Run the command at the end of an update that has replaced the pods' user."""
        self._run("remove", name)

    def _run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        process = subprocess.run(
            [BIN / "python", "-c", oidc.PROGRAM, *arguments],
            env=self.environment | dict(environment or {}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert process.returncode == 0, process.stderr

    @contextmanager
    def running(self) -> Iterator[str]:
        """Start the server with two processes; yields its URL."""
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        store = ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        artifacts = ["--artifacts-destination", str(self.folder / "artifacts"), "--serve-artifacts"]
        options = ["--app-name", "oidc-auth", "--workers", "2", "--port", str(port)]
        with (self.folder / "mlflow.log").open("a") as log:
            process = subprocess.Popen(
                [BIN / "mlflow", "server", *options, *store, *artifacts],
                env=self.environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(lambda: httpx.get(f"{url}/health").is_success, what="MLflow", timeout_s=START_TIMEOUT_S)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def browser(url: str, certificate: Path) -> httpx.Client:
    """A client that follows redirects and keeps cookies, as a browser does."""
    return httpx.Client(
        base_url=url, verify=ssl.create_default_context(cafile=certificate), follow_redirects=True, timeout=60
    )


def sign_in(client: httpx.Client, account: str) -> httpx.Response:
    """Open MLflow's page, sign in at the provider, and return the page on which the sign-in ends."""
    form = client.get("/", headers=PAGE)
    assert form.url.path == "/oauth2/authorize", form.url
    return client.post(form.url, data={"sub": account}, headers=PAGE)


def sign_in_at_public_address(client: httpx.Client, certificate: Path, account: str) -> str:
    """Sign in with a client whose requests go to a proxy, and return the address to which the provider sends it back.

    Args:
        client: A client of the proxy, which follows no redirects.
        certificate: Certificate of the provider.
        account: Account at the provider.
    """
    login = client.get("/", headers=PAGE).headers["location"]
    form = client.get(login, headers=PAGE).headers["location"]
    tls = ssl.create_default_context(cafile=certificate)
    callback = httpx.URL(httpx.post(form, data={"sub": account}, verify=tls).headers["location"])
    client.get(callback.raw_path.decode(), headers=PAGE)
    return str(callback.copy_with(query=None))

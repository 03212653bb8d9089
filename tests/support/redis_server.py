"""A real Redis server on a port of this machine, with or without TLS."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from app.cli.ports import free_ports
from tests.support.waiting import wait_for

START_TIMEOUT_S = 60

needed = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not on PATH")


@dataclass(frozen=True)
class RedisServer:
    """A running server."""

    port: int
    authorities: str

    @property
    def address(self) -> str:
        """Address as Ray takes it."""
        return f"{'rediss' if self.authorities else 'redis'}://127.0.0.1:{self.port}"


@contextmanager
def running(
    folder: Path, *options: str, uses_tls: bool = False, host: str = "", name: str = "redis.test"
) -> Iterator[RedisServer]:
    """Start a server, and end it afterwards.

    Args:
        folder: Folder for the data and the certificate.
        options: Further options of `redis-server`.
        uses_tls: Whether the server uses TLS.
        host: Address of this machine on which the server listens besides the loopback address.
        name: Host name in the certificate.
    """
    (port,) = free_ports(1)
    authorities = ""
    listen = ["--port", str(port)]
    if uses_tls:
        authorities = str(create_certificates(folder, name))
        tls = {"cert-file": folder / "server.pem", "key-file": folder / "key.pem", "ca-cert-file": authorities}
        listen = ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
        listen += [argument for option, value in tls.items() for argument in (f"--tls-{option}", str(value))]
    command = [
        str(shutil.which("redis-server")),
        "--bind",
        "127.0.0.1",
        *filter(None, [host]),
        "--dir",
        str(folder),
        *listen,
        *options,
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for("redis-server", lambda: _answers(port, authorities), timeout_s=START_TIMEOUT_S, interval_s=0.05)
        yield RedisServer(port, authorities)
    finally:
        process.kill()
        process.wait()


def create_certificates(folder: Path, *names: str) -> Path:
    """Create `server.pem`, a certificate that signs itself, and `key.pem`; return the file that verifies it.

    Args:
        folder: Folder of the two files.
        names: DNS names and IPv4 addresses in the certificate; `redis.test` if there is none.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not on PATH")
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "server.pem")]
    kinds = {name: "IP" if name.replace(".", "").isdecimal() else "DNS" for name in names or ["redis.test"]}
    alternatives = ",".join(f"{kind}:{name}" for name, kind in kinds.items())
    subject = ["-subj", "/CN=manta-test", "-addext", f"subjectAltName={alternatives}", "-days", "2"]
    subprocess.run([*command, *files, *subject], check=True, capture_output=True)
    return folder / "server.pem"


def _answers(port: int, authorities: str) -> bool:
    tls = {"ssl": True, "ssl_ca_certs": authorities, "ssl_check_hostname": False} if authorities else {}
    try:
        redis.Redis(port=port, **tls).ping()  # type: ignore[arg-type] # a dict of options has no single type
    except redis.AuthenticationError:
        return True
    except redis.RedisError:
        return False
    return True

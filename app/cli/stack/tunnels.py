"""Keeps tunnels to a cluster open with `kubectl port-forward`, and opens them again when they drop."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from app.cli.ports import LOOPBACK
from app.cli.stack.outputs import Tunnel
from app.errors import MantaError

REOPEN_PAUSE_S: Final = 1.0
"""Pause before a dropped tunnel is opened again. The pod behind it may need a moment."""
PROBE_INTERVAL_S: Final = 5.0
"""Pause between two requests that check an open tunnel."""
PROBE_TIMEOUT_S: Final = 15.0
"""Timeout of such a request. A server that trains or starts is slow."""
MAX_FAILED_PROBES: Final = 2
"""Number of consecutive failed requests after which a tunnel counts as dropped."""
OPENING_POLL_S: Final = 0.3
"""Pause between two checks of a tunnel that is opening."""

Report = Callable[[str], None]
"""Receives each message for the user."""


class TunnelError(MantaError):
    """A tunnel cannot be opened: its local port is in use, or `kubectl` is not installed."""

    title = "Tunnel unavailable"


def check_ports(tunnels: Sequence[Tunnel]) -> None:
    """Check that every local port is free.

    Raises:
        TunnelError: A port is in use.
    """
    for tunnel in tunnels:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, tunnel.local_port))
            except OSError as error:
                raise TunnelError(
                    f"Port {tunnel.local_port} of this machine, for {tunnel.name}, is in use.",
                    next_step=f"End the program that uses it (`lsof -i :{tunnel.local_port}` shows it), or choose "
                    f"another port: `manta forward --{tunnel.name}-port {tunnel.local_port + 10000}`.",
                ) from error


def kubectl_command(tunnel: Tunnel, context: str) -> list[str]:
    """The `kubectl port-forward` command of a tunnel."""
    return [
        *("kubectl", "port-forward", "--context", context, "--namespace", tunnel.namespace),
        *("--address", LOOPBACK, f"service/{tunnel.service}", f"{tunnel.local_port}:{tunnel.port}"),
    ]


async def keep_all_open(tunnels: Sequence[Tunnel], *, context: str, report: Report) -> None:
    """Keep all tunnels open until SIGINT or SIGTERM, then close them.

    Raises:
        TunnelError: `kubectl` is not installed.
    """
    stop_requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop_requested.set)  # a second signal must not interrupt the closing
    keeping_open = asyncio.gather(*(keep_open(tunnel, kubectl_command(tunnel, context), report) for tunnel in tunnels))
    stopping = asyncio.create_task(stop_requested.wait())
    futures: set[asyncio.Future[Any]] = {keeping_open, stopping}  # Any: the two results differ and are not used
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    keeping_open.cancel()
    stopping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping_open
    report("closed")


@asynccontextmanager
async def open_tunnel(tunnel: Tunnel, *, context: str, report: Report) -> AsyncIterator[None]:
    """Keep one tunnel open while the block runs. The block starts when the tunnel works.

    Raises:
        TunnelError: `kubectl` is not installed.
    """
    keeping_open = asyncio.create_task(keep_open(tunnel, kubectl_command(tunnel, context), report))
    try:
        while not await _answers_http(tunnel.local_port):
            if keeping_open.done():
                keeping_open.result()
            await asyncio.sleep(OPENING_POLL_S)
        yield
    finally:
        keeping_open.cancel()
        with suppress(asyncio.CancelledError):
            await keeping_open


async def keep_open(tunnel: Tunnel, command: Sequence[str], report: Report) -> None:
    """Run the command of a tunnel again and again, until this task is cancelled.

    Raises:
        TunnelError: The program of the command is not installed.
    """
    last_reason = ""
    while True:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C reaches only this command, which then ends the tunnels
            )
        except FileNotFoundError as error:
            raise TunnelError(f"`{command[0]}` is not on PATH.", next_step=f"Install {command[0]}.") from error
        try:
            reason = await _wait_for_drop(tunnel, process, report)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        if reason != last_reason:
            report(f"{tunnel.name}: dropped ({reason}); opening it again")
        last_reason = reason
        await asyncio.sleep(REOPEN_PAUSE_S)


async def _wait_for_drop(tunnel: Tunnel, process: asyncio.subprocess.Process, report: Report) -> str:
    """Wait until the process has ended or the tunnel no longer answers, and return the reason."""
    exiting = asyncio.create_task(_wait_for_exit(process))
    probing = asyncio.create_task(_probe(tunnel, report))
    try:
        await asyncio.wait({exiting, probing}, return_when=asyncio.FIRST_COMPLETED)
        return exiting.result() if exiting.done() else probing.result()
    finally:
        for task in (exiting, probing):
            task.cancel()
        await asyncio.gather(exiting, probing, return_exceptions=True)


async def _wait_for_exit(process: asyncio.subprocess.Process) -> str:
    """Wait until the process has ended, and return the last line of its stderr."""
    last_line = f"{process.pid} ended"
    if process.stderr is not None:
        async for line in process.stderr:
            last_line = line.decode(errors="replace").strip() or last_line
    await process.wait()
    return last_line


async def _probe(tunnel: Tunnel, report: Report) -> str:
    """Send requests through the tunnel until they fail: kubectl may not notice that the pod is gone."""
    while not await _answers_http(tunnel.local_port):  # noqa: ASYNC110 - no other task could set an event
        await asyncio.sleep(OPENING_POLL_S)
    report(f"{tunnel.name}: http://localhost:{tunnel.local_port} leads to {tunnel.service}:{tunnel.port}")
    failures = 0
    while failures < MAX_FAILED_PROBES:
        await asyncio.sleep(PROBE_INTERVAL_S)
        failures = 0 if await _answers_http(tunnel.local_port) else failures + 1
    return "no answer"


async def _answers_http(port: int) -> bool:
    """Whether an HTTP server answers on a local port, with any status."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(b"HEAD / HTTP/1.0\r\nHost: localhost\r\n\r\n")
                return (await reader.read(4)) == b"HTTP"
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except OSError:  # includes TimeoutError
        return False

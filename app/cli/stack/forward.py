"""`manta forward`: the tunnels to Ray, MLflow and Serve, each reopened when it drops."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, Final

import typer

from app.cli.ports import LOOPBACK
from app.cli.stack import outputs
from app.cli.stack.outputs import Forward
from app.errors import MantaError

REOPEN_S: Final = 1.0
"""Pause before a tunnel is opened again: the pod behind it may need a moment."""
PROBE_S: Final = 5.0
"""Pause between two questions through an open tunnel."""
PROBE_TIMEOUT_S: Final = 15.0
"""The longest that an answer through a tunnel may take; a server that trains or starts is slow."""
PROBES: Final = 2
"""Unanswered questions in a row that make a tunnel count as dropped."""
OPENING_S: Final = 0.3
"""Pause between two looks at a tunnel that is opening."""

Say = Callable[[str], None]


class PortError(MantaError):
    """A local port is taken."""

    title = "Port busy"


def forward(
    stack_name: Annotated[
        str, typer.Option("--stack", help="Pulumi stack; the selected one where nothing is said.")
    ] = "",
    ray_port: Annotated[int, typer.Option(help="Local port of Ray, where not the stack's.")] = 0,
    mlflow_port: Annotated[int, typer.Option(help="Local port of MLflow, where not the stack's.")] = 0,
    serve_port: Annotated[int, typer.Option(help="Local port of Serve, where not the stack's.")] = 0,
) -> None:
    """Hold tunnels to Ray, MLflow and Serve open until Ctrl-C, each reopened when it drops."""
    found = outputs.outputs(stack_name)
    wanted = {"ray": ray_port, "mlflow": mlflow_port, "serve": serve_port}
    tunnels = [
        tunnel.model_copy(update={"local_port": wanted.get(tunnel.name) or tunnel.local_port})
        for tunnel in found.forwards
    ]
    check_ports(tunnels)
    asyncio.run(hold_all(tunnels, context=found.context, say=typer.echo))


def check_ports(tunnels: Sequence[Forward]) -> None:
    """Make sure that every local port is free.

    Raises:
        PortError: Something listens there.
    """
    for tunnel in tunnels:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, tunnel.local_port))
            except OSError as error:
                raise PortError(
                    f"Port {tunnel.local_port} of this machine, for {tunnel.name}, is busy.",
                    next_step=f"End what listens there (`lsof -i :{tunnel.local_port}` shows it), or take another "
                    f"port with `manta forward --{tunnel.name}-port {tunnel.local_port + 10000}`.",
                ) from error


def command(tunnel: Forward, context: str) -> list[str]:
    """The kubectl call of one tunnel."""
    return [
        *("kubectl", "port-forward", "--context", context, "--namespace", tunnel.namespace),
        *("--address", LOOPBACK, f"service/{tunnel.service}", f"{tunnel.local_port}:{tunnel.port}"),
    ]


async def hold_all(tunnels: Sequence[Forward], *, context: str, say: Say) -> None:
    """Hold every tunnel open until SIGINT or SIGTERM, and leave no process behind.

    Raises:
        PortError: `kubectl` cannot be started.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)  # a second one changes nothing: the tunnels are being closed
    holding = asyncio.gather(*(hold(tunnel, command(tunnel, context), say) for tunnel in tunnels))
    ending = asyncio.create_task(ended.wait())
    first: set[asyncio.Future[Any]] = {holding, ending}
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    holding.cancel()
    ending.cancel()
    with suppress(asyncio.CancelledError):
        await holding
    say("closed")


@asynccontextmanager
async def held(tunnel: Forward, *, context: str, say: Say) -> AsyncIterator[None]:
    """Hold one tunnel open while the block runs.

    Raises:
        PortError: `kubectl` cannot be started.
    """
    holding = asyncio.create_task(hold(tunnel, command(tunnel, context), say))
    try:
        while not await _answers(tunnel.local_port):
            if holding.done():
                holding.result()
            await asyncio.sleep(OPENING_S)
        yield
    finally:
        holding.cancel()
        with suppress(asyncio.CancelledError):
            await holding


async def hold(tunnel: Forward, arguments: Sequence[str], say: Say) -> None:
    """Keep one tunnel open for ever: start it, watch it, start it again.

    Raises:
        PortError: The program of the tunnel cannot be started.
    """
    reason = ""
    while True:
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C ends this command alone, which then ends the tunnels
            )
        except FileNotFoundError as error:
            raise PortError(f"`{arguments[0]}` is not on PATH.", next_step="Install it.") from error
        try:
            said = await _watch(tunnel, process, say)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        if said != reason:
            say(f"{tunnel.name}: dropped ({said}); opening it again")
        reason = said
        await asyncio.sleep(REOPEN_S)


async def _watch(tunnel: Forward, process: asyncio.subprocess.Process, say: Say) -> str:
    """Wait until the tunnel has dropped, and say why."""
    ended = asyncio.create_task(_last_words(process))
    probed = asyncio.create_task(_probe(tunnel, say))
    try:
        await asyncio.wait({ended, probed}, return_when=asyncio.FIRST_COMPLETED)
        return ended.result() if ended.done() else probed.result()
    finally:
        for task in (ended, probed):
            task.cancel()
        await asyncio.gather(ended, probed, return_exceptions=True)


async def _last_words(process: asyncio.subprocess.Process) -> str:
    """What the process wrote last, once it has ended."""
    last = f"{process.pid} ended"
    if process.stderr is not None:
        async for line in process.stderr:
            last = line.decode(errors="replace").strip() or last
    await process.wait()
    return last


async def _probe(tunnel: Forward, say: Say) -> str:
    """Ask through the tunnel at intervals: kubectl itself may not notice that its pod has gone."""
    while not await _answers(tunnel.local_port):  # noqa: ASYNC110 - nobody here could set an event
        await asyncio.sleep(OPENING_S)
    say(f"{tunnel.name}: http://localhost:{tunnel.local_port} leads to {tunnel.service}:{tunnel.port}")
    silent = 0
    while silent < PROBES:
        await asyncio.sleep(PROBE_S)
        silent = 0 if await _answers(tunnel.local_port) else silent + 1
    return "no answer"


async def _answers(port: int) -> bool:
    """Whether an HTTP server answers on a local port, whatever it says."""
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
    except OSError:  # TimeoutError is one
        return False

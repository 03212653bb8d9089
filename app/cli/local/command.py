"""`manta local`: the whole platform on this machine, from nothing to a prediction."""

import asyncio
import json
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app.cli.endpoints import Target
from app.cli.jobs import submission
from app.cli.jobs.destination import Cluster
from app.cli.jobs.ray_jobs_api import Job, Ray
from app.cli.local import haproxy
from app.cli.local.platform import Platform, Ports
from app.cli.local.processes import Processes
from app.cli.progress import Steps, console
from app.cli.service import client
from app.cli.state import STATE, TOKEN_FILE, opened
from app.training.options import TrainOptions

DEFAULTS = Ports()

FOLLOW_LOOKS: Final = 40
"""How often the command looks whether the service serves the new champion, before it loads one itself."""

FOLLOW_PAUSE_S: Final = 0.25
"""Pause between two of these looks."""


def local(
    *,
    once: Annotated[bool, typer.Option("--once", help="End after the first prediction.")] = False,
    train: Annotated[bool, typer.Option("--train", help="Train although a champion exists.")] = False,
    ray_port: Annotated[int, typer.Option(min=1024, max=65535, help="Ray's dashboard and jobs.")] = DEFAULTS.ray,
    mlflow_port: Annotated[int, typer.Option(min=1024, max=65535, help="MLflow.")] = DEFAULTS.mlflow,
    serve_port: Annotated[int, typer.Option(min=1024, max=65535, help="Predictions.")] = DEFAULTS.serve,
    state: Annotated[Path, typer.Option(help="Folder of the database, models, token and logs.")] = STATE,
) -> None:
    """Start MLflow, Ray and the service on this machine; train, load and predict.

    It stays up until Ctrl-C. A later start serves the champion of the earlier one at once.

    Example: manta local --serve-port 8001
    """
    ports = Ports(ray=ray_port, mlflow=mlflow_port, serve=serve_port)
    ports.check_free()
    with opened(state) as token, _ended_by_signals(), _scratch_folder() as scratch:
        target = ports.target(token)
        with Processes(Platform.environment(target, scratch), logs=state / "logs", scratch=scratch) as processes:
            platform = Platform(processes, target, state=state, scratch=scratch)
            target.write(state)
            if haproxy.binary() is None:
                console.print(haproxy.MISSING)
            try:
                asyncio.run(_run(platform, target, state=state, retrain=train, once=once))
            finally:
                console.print("Ending every process that was started ...")


async def _run(platform: Platform, target: Target, *, state: Path, retrain: bool, once: bool) -> None:
    with Steps() as steps:
        await _bring_up(platform, target, steps, retrain=retrain)
        answer = await _first_prediction(target, steps)
    _print_next(target, state, answer)
    if not once:
        console.print("Ctrl-C ends the platform.")
        await platform.stays_up()


async def _bring_up(platform: Platform, target: Target, steps: Steps, *, retrain: bool) -> None:
    """Start everything side by side, and train as soon as Ray and MLflow are there."""
    platform.start_mlflow()
    platform.start_ray()

    async def mlflow() -> None:
        with steps.step("MLflow: waiting for its server", f"MLflow answers at {target.mlflow_url}"):
            await platform.mlflow_ready()

    async def ray() -> None:
        with steps.step("Ray: waiting for its head", f"Ray answers at {target.ray_url}"):
            await platform.ray_ready()

    async def serve() -> None:
        await ray_up
        with steps.step("Serve: waiting for a replica", f"The service answers at {target.api_url}"):
            await platform.serve_ready()

    async def trained() -> None:
        await asyncio.gather(mlflow_up, ray_up)
        if retrain or not await platform.has_champion():
            with steps.step("Training: waiting for the job", "A model is trained and registered"):
                await _train(target)

    mlflow_up, ray_up = asyncio.create_task(mlflow()), asyncio.create_task(ray())
    await asyncio.gather(serve(), trained())


async def _train(target: Target) -> None:
    """Run a training job with its defaults, and print its output.

    Raises:
        JobError: The job failed.
    """
    job = Job()
    async with Ray(target) as ray:
        await submission.send(ray, Cluster(target=target, name=target.ray_url, is_here=True), TrainOptions(), job)
        async for line in job.lines(ray):
            console.print(f"  {line}", style="dim", markup=False)
        job.check()


async def _first_prediction(target: Target, steps: Steps) -> dict[str, Any]:
    """Wait for the champion, or load the newest model if there is none, and ask about a row that training held out."""
    with steps.step("Model: waiting for the load", "The model is loaded"):
        status = await _followed(target)
        if not status["model_loaded"]:
            await asyncio.to_thread(client.call, target, "POST", "/model/load")
            status = await asyncio.to_thread(client.call, target, "GET", "/model")
    example = {"features": status["example"]["features"][:1]}
    with steps.step("Prediction: waiting for the answer", "A held-out row is answered"):
        answer = await asyncio.to_thread(client.call, target, "POST", "/predict", message=example)
    predicted, truth = answer["predictions"][0], status["example"]["labels"][0]
    verdict = "right" if predicted == truth else f"wrong, it is {truth}"
    console.print(f"  version {answer['model_version']} answers {predicted}: {verdict}", markup=False)
    return example


async def _followed(target: Target) -> dict[str, Any]:
    """What is served once the service has followed the alias that training moved, or has had the time to."""
    for _ in range(FOLLOW_LOOKS):
        status = await asyncio.to_thread(client.call, target, "GET", "/model")
        if status["model_loaded"]:
            break
        await asyncio.sleep(FOLLOW_PAUSE_S)
    return status


def _print_next(target: Target, state: Path, example: dict[str, Any]) -> None:
    authorization = f'-H "Authorization: Bearer $(cat {state / TOKEN_FILE})"'
    for line in (
        "",
        f"Ray      {target.ray_url}   (asks for the token in {state / TOKEN_FILE})",
        f"MLflow   {target.mlflow_url}",
        f"Serve    {target.api_url}/docs",
        "",
        "Load a version, the newest by default:",
        f"  curl -X POST {target.api_url}/model/load {authorization}",
        "Ask for a prediction:",
        f"  curl -X POST {target.api_url}/predict -H 'Content-Type: application/json' -d '{json.dumps(example)}'",
        "Train another:",
        "  manta train --trees 200",
        "",
    ):
        console.print(line, markup=False)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Make SIGTERM and a closed terminal end the command as Ctrl-C does, so that its processes end too."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="manta-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""`manta local`: start the whole platform on this machine and make a first prediction."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from app import names
from app.cli.destination import Destination
from app.cli.endpoints import Endpoints
from app.cli.jobs import submission
from app.cli.jobs.driver import DriverResources
from app.cli.jobs.follow import follow
from app.cli.jobs.job import Job
from app.cli.jobs.ray_jobs_api import RayJobsApi
from app.cli.json_object import JsonObject
from app.cli.local import champion, drift_schedule, haproxy, next_steps, tracing
from app.cli.local.cleanup import exit_on_signals, scratch_folder
from app.cli.local.log_format import JSON_LOG, LogFormat
from app.cli.local.platform import Platform, Ports
from app.cli.local.processes import Processes
from app.cli.progress import Steps, console
from app.cli.service import client
from app.cli.shared_options import RolloutOption
from app.cli.state import STATE_FOLDER, lock_state_folder, model_key
from app.records import log_place
from app.settings import settings
from app.training.options import TrainOptions

DEFAULTS = Ports()


def local(
    *,
    once: Annotated[bool, typer.Option("--once", help="Stop the platform after the first prediction.")] = False,
    train: Annotated[bool, typer.Option("--train", help="Train a model even if there is a champion.")] = False,
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Registered model to serve, which trainings register too. Your own training makes its first version.",
            show_default=False,
        ),
    ] = "",
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Store and load models with your own classes as signed pickles.")
    ] = False,
    log_format: Annotated[
        LogFormat,
        typer.Option(
            metavar="text|json",
            help=f"With json, the service also appends its log as JSON lines to logs/{JSON_LOG} in the state folder.",
        ),
    ] = LogFormat.TEXT,
    prediction_log: Annotated[
        str, typer.Option(metavar="off|mlflow|URL", callback=log_place.check, help=log_place.HELP)
    ] = names.LOG_IN_MLFLOW,
    drift_every: Annotated[
        str,
        typer.Option(
            metavar="PERIOD",
            help="How often to judge the champions by the log of the last 7 days: 30m, 1h, 1d (default: never).",
            show_default=False,
        ),
    ] = "",
    retrain_on: drift_schedule.RetrainOnOption = "score",
    otlp_endpoint: Annotated[
        str, typer.Option(metavar="mlflow|URL", callback=tracing.check, help=tracing.HELP, show_default=False)
    ] = "",
    trace_percent: Annotated[
        int, typer.Option(min=0, max=100, help="Percentage of the predictions that are traced.")
    ] = 100,
    rollout: RolloutOption = "manual",
    ray_port: Annotated[
        int, typer.Option(min=1024, max=65535, help="Port of Ray's dashboard and Jobs API.")
    ] = DEFAULTS.ray,
    mlflow_port: Annotated[int, typer.Option(min=1024, max=65535, help="Port of MLflow.")] = DEFAULTS.mlflow,
    serve_port: Annotated[
        int, typer.Option(min=1024, max=65535, help="Port of the prediction service.")
    ] = DEFAULTS.serve,
    state: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for MLflow's database, models, token and logs.")
    ] = STATE_FOLDER,
) -> None:
    """Start MLflow, Ray and the prediction service on this machine.

    The first start trains a model, loads it and makes a prediction.
    Later starts load the current champion. The platform runs until Ctrl-C.

    Example: manta local --serve-port 8001
    """
    options = TrainOptions(name=name or None)
    ports = Ports(ray=ray_port, mlflow=mlflow_port, serve=serve_port)
    interval = drift_schedule.parse_interval(drift_every)
    drift_schedule.check(interval, prediction_log)
    ports.check_free()
    logs = state / "logs"
    with lock_state_folder(state) as token, exit_on_signals(), scratch_folder() as scratch:
        config = settings()
        endpoints = ports.endpoints(token, model_name=name or config.model_name, show_examples=config.show_examples)
        with Processes(
            Platform.environment(endpoints, state=state, scratch=scratch)
            | {"MANTA_PREDICTION_LOG": prediction_log, "MANTA_ROLLOUT": rollout, "MANTA_RETRAIN_ON": retrain_on}
            | tracing.environment(otlp_endpoint, trace_percent)
            | ({"MANTA_MODEL_KEY": model_key(state)} if allow_pickle else {})
            | log_format.environment(logs),
            logs=logs,
            scratch=scratch,
        ) as processes:
            platform = Platform(processes, endpoints, state=state, scratch=scratch)
            endpoints.write(state)
            if haproxy.binary() is None:
                console.print(haproxy.MISSING_WARNING)
            try:
                asyncio.run(_run(platform, endpoints, options, state=state, train=train))
                if not once:
                    console.print("Ctrl-C ends the platform.")
                    asyncio.run(_watch(platform, processes, interval, ray_url=endpoints.ray_url))
            finally:
                console.print("Stopping all processes of the platform ...")


async def _run(platform: Platform, endpoints: Endpoints, options: TrainOptions, *, state: Path, train: bool) -> None:
    with Steps() as steps:
        has_champion = await _start(platform, endpoints, options, steps, train=train)
        request = await _predict_example(endpoints, steps) if has_champion else None
    next_steps.show(endpoints, state, request)


async def _watch(platform: Platform, processes: Processes, interval: timedelta | None, *, ray_url: str) -> None:
    """Run until a process ends, and judge the champions again after each interval."""
    await asyncio.gather(platform.watch(), drift_schedule.judge_forever(processes, interval, ray_url=ray_url))


async def _start(platform: Platform, endpoints: Endpoints, options: TrainOptions, steps: Steps, *, train: bool) -> bool:
    """Start all parts at the same time; the training job starts when Ray and MLflow are ready.

    Returns:
        Whether there is a champion.
    """
    platform.start_mlflow()
    platform.start_ray()
    mlflow = asyncio.create_task(_wait_for_mlflow(platform, endpoints, steps))
    ray = asyncio.create_task(_wait_for_ray(platform, endpoints, steps))
    training = _find_or_train_champion(endpoints, options, steps, asyncio.gather(mlflow, ray), is_forced=train)
    _, has_champion = await asyncio.gather(_deploy_serve(platform, endpoints, steps, ray), training)
    return has_champion


async def _wait_for_mlflow(platform: Platform, endpoints: Endpoints, steps: Steps) -> None:
    with steps.step("MLflow: waiting for the server", f"MLflow answers at {endpoints.mlflow_url}"):
        await platform.wait_for_mlflow()


async def _wait_for_ray(platform: Platform, endpoints: Endpoints, steps: Steps) -> None:
    with steps.step("Ray: waiting for the head", f"Ray answers at {endpoints.ray_url}"):
        await platform.wait_for_ray()


async def _deploy_serve(platform: Platform, endpoints: Endpoints, steps: Steps, ray: asyncio.Task[None]) -> None:
    await ray
    with steps.step("Serve: waiting for a replica", f"The service answers at {endpoints.api_url}"):
        await platform.deploy_serve()


async def _find_or_train_champion(
    endpoints: Endpoints,
    options: TrainOptions,
    steps: Steps,
    mlflow_and_ray: Awaitable[object],
    *,
    is_forced: bool,
) -> bool:
    """Run a training job if it is forced, or if there is no champion yet and the user named no model.

    Returns:
        Whether there is a champion now.

    Raises:
        ModelRefusedError: Another release trained the champion, so that the service would never be ready.
    """
    await mlflow_and_ray
    version = await champion.find_version(endpoints)
    if version is not None and not is_forced:
        await champion.check_release(endpoints, version)
    elif options.name is not None and not is_forced:
        return False
    else:
        with steps.step("Training: waiting for the job", "A model is trained and registered"):
            await _run_training_job(endpoints, options)
    return True


async def _run_training_job(endpoints: Endpoints, options: TrainOptions) -> None:
    """Run a training job and print its log.

    Raises:
        JobError: The job failed.
    """
    job = Job()
    destination = Destination(endpoints=endpoints, name=endpoints.ray_url, is_local=True)
    async with RayJobsApi(endpoints) as api:
        driver = DriverResources()
        await submission.submit(api, destination, options, job, driver=driver, report=console.print)
        await follow(api, job, driver, timeout_s=options.timeout, report=console.print, show=_show_log_line)


def _show_log_line(line: str) -> None:
    console.print(f"  {line}", style="dim", markup=False)


async def _predict_example(endpoints: Endpoints, steps: Steps) -> JsonObject | None:
    """Wait until a model is loaded, and send it one row that training held out.

    Returns:
        The body of the prediction request; None if the version has no example.
    """
    with steps.step("Model: waiting for the load", "The model is loaded"):
        status = await champion.wait_for_load(endpoints)
    example = status["example"]
    if example is None:
        return None
    request = {"features": example["features"][:1]}
    with steps.step("Prediction: waiting for the response", "A held-out row is predicted"):
        response = await asyncio.to_thread(client.call, endpoints, "POST", "/predict", body=request)
    prediction = response["predictions"][0]
    console.print(
        f"  version {response['model_version']} answers {prediction}{_verdict(prediction, status)}", markup=False
    )
    return request


def _verdict(prediction: object, status: JsonObject) -> str:
    """Compare a prediction with the label of the example's first row, if the version has labels."""
    labels = status["example"]["labels"]
    if not labels:
        return ""
    if status["classes"]:
        return ": right" if prediction == labels[0] else f": wrong, the label is {labels[0]}"
    return f"; the true value is {labels[0]}"

"""The HTTP API of a replica: its FastAPI routes.

The messages are in `app.serving.schemas`, the responses to errors in `app.serving.error_responses`. The OpenAPI
document is completed in `app.serving.openapi`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from fastapi import BackgroundTasks, Depends, FastAPI, Request
from fastapi.params import Depends as Dependency
from pydantic import SecretStr

from app.records.drift_runs import DriftRun
from app.serving import (
    docs_pages,
    error_responses,
    feedback_paths,
    measure_paths,
    model_paths,
    model_status,
    openapi,
    prediction_paths,
    problem_openapi,
    protocol_paths,
    rollout_paths,
    schemas,
    shadow_paths,
    webhook,
)
from app.serving.access import AccessRules, bearer_token_check
from app.serving.api import Api
from app.serving.catalog.catalog import Catalog
from app.serving.catalog.catalog_follower import CatalogFollower
from app.serving.fleet.alias_follower import AliasFollower
from app.serving.fleet.fleet import Fleet
from app.serving.measures.exporter import Exporter
from app.serving.page import routes as page_routes
from app.serving.predict import PredictionHandler
from app.serving.prediction_log.prediction_log import PredictionLog
from app.serving.prediction_paths import Predictions
from app.serving.requests import body
from app.serving.requests.deadlines import Deadlines
from app.serving.requests.limits import RequestLimits
from app.serving.rollout.rollout_follower import RolloutFollower
from app.serving.schemas import Health, LoadRequest, LoadResponse, ModelStatus
from app.serving.tracing.trace import Tracer

LOAD_FORM: Final = '{"name": string, "version": string} or {"name": string, "alias": string}, or no body'
"""The forms of a load request, for error messages."""


def create_api(
    fleet: Fleet,
    follower: AliasFollower,
    catalog: Catalog,
    catalog_follower: CatalogFollower,
    rollout_follower: RolloutFollower,
    *,
    limits: RequestLimits,
    access: AccessRules,
    threads: int = 1,
    exporters: Sequence[Exporter] = (),
    log: PredictionLog | None = None,
    tracer: Tracer | None = None,
    judgements: Callable[[], Sequence[DriftRun]] = tuple,
) -> FastAPI:
    """Build the API of one replica.

    Args:
        fleet: Loads a version on all replicas. `fleet.replica` is the replica that answers here.
        follower: Starts and stops with the API. The API answers no request before it has started.
        catalog: The models by name.
        catalog_follower: Starts and stops with the API.
        rollout_follower: Starts and stops with the API.
        limits: What the replica accepts.
        access: What a request must contain to be accepted.
        threads: Number of large batches, and of large JSON bodies, that are handled at the same time.
        exporters: Export metrics while the API runs.
        log: Keeps rows and answers; starts and ends with the API. None for no log.
        tracer: Records traces of predictions; ends with the API. None for no traces.
        judgements: Returns the newest judgement of drift of each version, newest first.
    """
    handler = PredictionHandler(limits=limits, threads=threads, measures=catalog.measures, log=log, tracer=tracer)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await follower.start()
        await catalog_follower.start()
        await rollout_follower.start()
        if log is not None:
            log.start()
        tasks = [asyncio.create_task(catalog.history.run_forever())]
        tasks += [asyncio.create_task(exporter.run_forever()) for exporter in exporters]
        yield
        for task in tasks:
            task.cancel()
        await rollout_follower.stop()
        await catalog_follower.stop()
        await follower.stop()
        await handler.close()
        if log is not None:
            await log.close()
        if tracer is not None:
            await asyncio.to_thread(tracer.close)

    api = Api(
        title="manta",
        version="1",
        summary="Predictions of the champion of a model registry",
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    docs_pages.install(api)
    openapi.install(api, catalog, limits=limits, access=access)
    error_responses.install(api)
    token_check = [Depends(bearer_token_check(access.tokens))] if access.tokens else []
    _add_load(api, fleet, limits=limits, token_check=token_check)
    feedback_paths.install(api, log, catalog, limits=limits, budget=handler.budget, token_check=token_check)
    prediction_paths.install(api, Predictions(handler=handler, catalog=catalog, access=access))
    _add_status(api, fleet, follower, access)
    if access.webhook_secret is not None:
        _add_webhook(api, follower, limits=limits, secret=access.webhook_secret)
    model_paths.install(api, fleet, catalog, catalog_follower, limits=limits, access=access, token_check=token_check)
    measure_paths.install(api, catalog)
    rollout_paths.install(api, rollout_follower.rollouts, catalog, limits=limits, token_check=token_check)
    shadow_paths.install(api, rollout_follower.shadows, catalog, limits=limits, access=access, token_check=token_check)
    protocol_paths.install(api, catalog, access)
    page_routes.install(api, fleet, follower, catalog, rollout_follower, judgements, access)
    # Serve's metrics search the routes of each request in order, so the most frequent one comes first.
    api.router.routes.sort(key=lambda route: getattr(route, "path", "") != prediction_paths.PREDICT)
    return api


def _add_load(api: FastAPI, fleet: Fleet, *, limits: RequestLimits, token_check: Sequence[Dependency]) -> None:
    """Add the path that loads a version."""
    deadlines = Deadlines(limits.body_timeout_s)

    @api.post("/model/load", dependencies=token_check, responses=problem_openapi.LOAD_PROBLEMS)
    async def load(request: Request) -> LoadResponse:
        """Serve a version on every replica and make it the champion. If a replica refuses it, nothing changes."""
        content, _ = await body.read(request, max_bytes=limits.control_body_bytes, deadlines=deadlines)
        load_request = body.parse(LoadRequest, content, form=LOAD_FORM) if content else LoadRequest()
        version, replicas = await fleet.load(load_request)
        return LoadResponse(
            model_loaded=True,
            model_info=model_status.model_info(version),
            mlflow_uri=fleet.replica.registry.uri,
            timestamp=schemas.now(),
            replicas=replicas,
        )


def _add_status(api: FastAPI, fleet: Fleet, follower: AliasFollower, access: AccessRules) -> None:
    """Add the paths that describe the served model and this replica."""
    replica = fleet.replica

    @api.get("/model")
    async def model(request: Request) -> ModelStatus:
        """Return the served model, what each replica serves, and which version it refused."""
        replicas = await fleet.report()
        description = model_status.describe(replica.served) if replica.served else model_status.NOT_LOADED
        if not access.shows_examples_to(request.headers, replica.model_name):
            description = model_status.without_example(description)
        return model_status.status(description, replicas, mlflow_uri=replica.registry.uri)

    @api.get("/healthz")
    async def healthz() -> Health:
        """Return whether this replica answers. A replica answers before a model is loaded too."""
        return Health(status="ok", model_version=replica.served_version, trouble=follower.trouble or None)


def _add_webhook(api: FastAPI, follower: AliasFollower, *, limits: RequestLimits, secret: SecretStr) -> None:
    """Add the path of MLflow's webhook, which makes the fleet read the alias at once."""
    deadlines = Deadlines(limits.body_timeout_s)

    @api.post("/model/webhook", status_code=HTTPStatus.ACCEPTED, responses=problem_openapi.WEBHOOK_PROBLEMS)
    async def on_webhook(request: Request, tasks: BackgroundTasks) -> None:
        """Receive MLflow's alias webhook. The fleet reads the alias at once; the content of the event is not used."""
        content, _ = await body.read(request, max_bytes=limits.control_body_bytes, deadlines=deadlines)
        webhook.verify(request.headers, content, secret=secret)
        tasks.add_task(follower.poll)

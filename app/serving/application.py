"""The Ray Serve application: one deployment, whose replicas hold the model and answer HTTP requests.

Its import path is `app.serving.application:build`, both on one machine and in a RayService.
"""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import ray
from fastapi import FastAPI
from mlflow.entities.model_registry import ModelVersion
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve import metrics
from ray.serve.context import _get_serve_request_context  # Serve has no public function for it
from ray.serve.schema import LoggingConfig

from app import names
from app.models.registry import Registry
from app.models.rollout_records import RolloutRecords
from app.models.shadow_runs import ShadowRuns
from app.records import drift_runs
from app.records.open_store import open_store
from app.serving import routes
from app.serving.access import AccessRules
from app.serving.catalog.catalog import Catalog
from app.serving.catalog.catalog_follower import CatalogFollower
from app.serving.catalog.default_model import DefaultModel
from app.serving.drift_gauges import DriftGauges
from app.serving.event_log import json_lines
from app.serving.fleet.alias_follower import AliasFollower
from app.serving.fleet.fleet import Fleet
from app.serving.fleet.protocol import (
    AliasReading,
    CatalogReading,
    Claim,
    Failure,
    FleetMember,
    HeldModel,
    LoadId,
    Refusal,
    Report,
)
from app.serving.fleet.replica import Replica
from app.serving.fleet.replica_group import ServeReplicaGroup
from app.serving.loading.limits import total_memory_bytes
from app.serving.loading.loader import LOAD_TIMEOUT_S, ModelLoader
from app.serving.loading.served_model import FilesLocation, PackedModel
from app.serving.measures.exporter import MeasuresExporter
from app.serving.measures.history import Track
from app.serving.measures.measures import Measures
from app.serving.measures.tally import TallySnapshot
from app.serving.metrics import LogMetrics, ReplicaMetrics
from app.serving.prediction_log.prediction_log import PredictionLog
from app.serving.requests.limits import MAX_BODY_BYTES, MAX_ONGOING_REQUESTS, MAX_ROWS, RequestLimits
from app.serving.rollout.challenger import Challenger, WarmLoader
from app.serving.rollout.member import RolloutMember, RolloutReport
from app.serving.rollout.policy import RolloutState
from app.serving.rollout.recent_answers import TrueLabel
from app.serving.rollout.rollout_follower import RolloutFollower
from app.serving.rollout.rollouts import Rollouts
from app.serving.shadow.member import ShadowMember, ShadowReport
from app.serving.shadow.messages import ShadowState
from app.serving.shadow.shadows import Shadows
from app.serving.tracing.open_tracer import open_tracer
from app.settings import settings

GRACEFUL_SHUTDOWN_TIMEOUT_S: Final = 60
"""How long a replica that stops may take to finish its requests in progress."""

DEPLOYMENT_OPTIONS: Final[dict[str, Any]] = {
    "max_ongoing_requests": MAX_ONGOING_REQUESTS,
    # Ray's metrics count requests by path and status. One log line for each request would cost as much time as the
    # prediction. At level INFO Serve formats that line even if the access log is off.
    "logging_config": LoggingConfig(enable_access_log=False, log_level="WARNING"),
    "graceful_shutdown_timeout_s": GRACEFUL_SHUTDOWN_TIMEOUT_S,
}
"""Options of the deployment on every platform; each option has a different type. The Serve config sets the number of
replicas."""


class ServeArgs(BaseModel):
    """Arguments of the application, from `args` of the Serve config."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_name: str = Field(
        default_factory=lambda: settings().model_name,
        pattern=names.MODEL_NAME_PATTERN,
        description="Registered model to serve.",
    )
    max_rows: int = Field(default=MAX_ROWS, ge=1, description="Maximum rows of one prediction request.")
    max_body_bytes: int = Field(
        default=MAX_BODY_BYTES, ge=1024, description="Maximum size of one request body, in bytes."
    )
    load_timeout_s: float = Field(
        default=LOAD_TIMEOUT_S,
        ge=1,
        le=3600,
        description="Limit for the download, the checks and the compilation of a version on one replica, in seconds.",
    )


class ModelServer(FleetMember):
    """One replica of the deployment: the HTTP API, and the methods that the other replicas call."""

    def __init__(self, args: ServeArgs) -> None:
        log = logging.getLogger(names.SERVING_LOG)
        log.setLevel(logging.INFO)
        self._args = args
        context = serve.get_replica_context()
        self._metrics = ReplicaMetrics(counter=metrics.Counter, gauge=metrics.Gauge)
        config = settings()
        json_lines.install(
            log,
            config.json_log,
            replica=context.replica_id.unique_id,
            request_id=lambda: _get_serve_request_context().request_id,
        )
        registry = Registry(config)
        loader = ModelLoader(
            mlflow_uri=config.mlflow_tracking_uri, model_cache=config.model_cache, timeout_s=args.load_timeout_s
        )
        warm_loader = WarmLoader(loader)
        self._replica = Replica(
            registry,
            warm_loader,
            model_name=args.model_name,
            name=context.replica_id.unique_id,
            on_swap=self._metrics.record_swap,
            on_refusal=self._metrics.record_refusal,
        )
        group = ServeReplicaGroup(context.app_name, names.DEPLOYMENT)
        self._fleet = Fleet(self._replica, group)
        self._follower = AliasFollower(self._fleet)
        measures = Measures()
        rollout = RolloutMember(self._replica, Challenger(self._replica, group), warm_loader, measures)
        shadow = ShadowMember(self._replica, keeps_rows=config.show_examples, measures=measures)
        records = RolloutRecords(config.mlflow_tracking_uri, args.model_name)
        runs = ShadowRuns(config.mlflow_tracking_uri, args.model_name)
        self._rollout_follower = RolloutFollower(
            Rollouts(self._fleet, rollout, records), Shadows(self._fleet, shadow, records, runs)
        )
        self._catalog = Catalog(
            DefaultModel(self._replica, self._follower, rollout, shadow),
            registry=registry,
            records=partial(RolloutRecords, config.mlflow_tracking_uri),
            runs=partial(ShadowRuns, config.mlflow_tracking_uri),
            loader=loader,
            group=group,
            listed=config.models,
            memory_bytes=config.models_memory or total_memory_bytes() // 2,
            measures=measures,
        )
        self._catalog_follower = CatalogFollower(self._catalog)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Build the HTTP API of this replica. Serve calls this after the constructor."""
        config = settings()
        resources = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call] # Ray has no types
        drift = DriftGauges(partial(drift_runs.read_newest, config), self._champions, gauge=metrics.Gauge)
        return routes.create_api(
            self._fleet,
            self._follower,
            self._catalog,
            self._catalog_follower,
            self._rollout_follower,
            limits=RequestLimits(rows=self._args.max_rows, body_bytes=self._args.max_body_bytes),
            access=AccessRules(
                tokens=config.serve_tokens,
                predict_tokens=config.predict_tokens,
                predict_needs_token=config.predict_needs_token,
                show_examples=config.show_examples,
                webhook_secret=config.webhook_secret,
            ),
            threads=max(1, int(resources.get("CPU", 1))),
            log=self._prediction_log(),
            tracer=open_tracer(config, replica=self._replica.name),
            exporters=[
                MeasuresExporter(self._catalog.measures, counter=metrics.Counter, gauge=metrics.Gauge),
                drift,
            ],
            judgements=lambda: drift.runs,
        )

    def _champions(self) -> dict[str, str | None]:
        """Return the number of the version that serves, by the name of each model of the service."""
        return (self._catalog.champions or {}) | {self._replica.model_name: self._replica.served_version}

    def _prediction_log(self) -> PredictionLog | None:
        store = open_store(settings())
        if store is None:
            return None
        return PredictionLog(store, settings(), writer=self._replica.name, counters=LogMetrics(counter=metrics.Counter))

    async def claim(self, load: LoadId | None) -> Claim:
        """See `Replica.claim`."""
        return await self._replica.claim(load)

    async def prepare(
        self, load: LoadId, version: ModelVersion, location: FilesLocation | None
    ) -> Report | Claim | Failure:
        """See `Replica.prepare`."""
        return await self._replica.prepare(load, version, location)

    async def commit(self, load: LoadId, version: ModelVersion, generation: int) -> Report | Claim | Failure:
        """See `Replica.commit`."""
        return await self._replica.commit(load, version, generation)

    async def roll_back(self, load: LoadId, generation: int) -> Report:
        """See `Replica.roll_back`."""
        return await self._replica.roll_back(load, generation)

    async def release(self, load: LoadId, refusal: Refusal | None) -> None:
        """See `Replica.release`."""
        await self._replica.release(load, refusal)

    async def report(self) -> Report:
        """Return what this replica serves."""
        return self._replica.report

    async def share(self, replica: str) -> PackedModel | Failure | None:
        """See `Replica.share`."""
        return await self._replica.share(replica)

    async def on_alias_seen(self, reading: AliasReading) -> None:
        """See `AliasFollower.on_alias_seen`."""
        self._metrics.record_reading(
            registry_answers=not reading.trouble,
            champion=str(reading.champion.version) if reading.champion else None,
            served=self._replica.served_version,
        )
        await self._follower.on_alias_seen(reading)

    async def on_model(self, model: str, method: str, args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - as `method`
        """See `Catalog.on_model`."""
        return await self._catalog.on_model(model, method, args)

    async def on_catalog_read(self, reading: CatalogReading) -> list[HeldModel]:
        """See `CatalogFollower.on_catalog_read`."""
        return await self._catalog_follower.on_catalog_read(reading)

    async def held_models(self) -> list[HeldModel]:
        """See `Catalog.all_held_models`."""
        return self._catalog.all_held_models()

    async def on_challenger(self, method: str, args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - as `method`
        """See `Challenger.call`."""
        return await self._rollout_follower.rollouts.member.challenger.call(method, args)

    async def on_rollout(self, state: RolloutState | None) -> RolloutReport:
        """See `RolloutFollower.on_state`."""
        return await self._rollout_follower.on_state(state)

    async def report_rollout(self) -> RolloutReport:
        """See `RolloutMember.report`."""
        rollouts = self._rollout_follower.rollouts
        return rollouts.member.report(rollouts.state)

    async def on_shadow(self, state: ShadowState | None) -> None:
        """See `Shadows.on_state`."""
        self._rollout_follower.shadows.on_state(state)

    async def report_shadow(self, is_for_run: bool) -> ShadowReport:  # noqa: FBT001 - a call by position
        """See `Shadows.on_report`."""
        return self._rollout_follower.shadows.on_report(is_for_run=is_for_run)

    async def on_labels(self, labels: Sequence[TrueLabel]) -> int:
        """See `RolloutMember.on_labels`."""
        return sum(member.on_labels(labels) for member in self._catalog.rollout_members())

    async def measures(self, model: str) -> list[TallySnapshot]:
        """See `Measures.snapshots`."""
        return self._catalog.measures.snapshots(model)

    async def measures_history(self, model: str) -> list[Track]:
        """See `History.read`."""
        return self._catalog.history.read(model)


def build(args: ServeArgs) -> serve.Application:
    """Build the Serve application from the arguments of its config."""
    deployment = serve.deployment(name=names.DEPLOYMENT, **DEPLOYMENT_OPTIONS)
    application: serve.Application = deployment(serve.ingress()(ModelServer)).bind(args)
    return application

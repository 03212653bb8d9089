"""The Ray Serve application: one deployment whose replicas hold the model and answer HTTP.

Its import path is `app.serving.application:build`; the same builder serves on one machine and in a RayService.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import ray
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.config import BackpressureConfig
from ray.serve.schema import LoggingConfig

from app import names
from app.models.registry import Registry
from app.serving import metrics, routes
from app.serving.fleet.alias_follower import Follower
from app.serving.fleet.load import Fleet
from app.serving.fleet.replica import Replica
from app.serving.fleet.replica_group import ServePeers
from app.serving.requests.limits import (
    MAX_BODY_BYTES,
    MAX_ONGOING_REQUESTS,
    MAX_QUEUED_REQUESTS,
    MAX_ROWS,
    RETRY_AFTER_S,
    Limits,
)
from app.settings import settings

Steps = dict[str, Callable[..., Awaitable[object]]]

GRACEFUL_SHUTDOWN_TIMEOUT_S: Final = 60
"""The longest that a replica which stops may take to finish the requests that it has."""


OPTIONS: Final[dict[str, Any]] = {
    "max_ongoing_requests": MAX_ONGOING_REQUESTS,
    "max_queued_requests": MAX_QUEUED_REQUESTS,
    "backpressure_config": BackpressureConfig(retry_after_s=RETRY_AFTER_S),
    # Ray's measures count requests by path and status. A line for each would cost as much as the answer, and at level
    # INFO Serve makes it even where the access log is off.
    "logging_config": LoggingConfig(enable_access_log=False, log_level="WARNING"),
    "graceful_shutdown_timeout_s": GRACEFUL_SHUTDOWN_TIMEOUT_S,
}
"""What Serve is told of the deployment wherever it runs; its config says how many replicas there are."""


class ServeArgs(BaseModel):
    """Arguments of the application, from `args` of the Serve config."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_name: str = Field(
        default_factory=lambda: settings().model_name,
        pattern=names.MODEL_NAME_PATTERN,
        description="Registered model whose champion serves.",
    )
    max_rows: int = Field(default=MAX_ROWS, ge=1, description="The most rows of one prediction request.")
    max_body_bytes: int = Field(default=MAX_BODY_BYTES, ge=1024, description="The most bytes of one request.")


class ModelServer:
    """One replica: it is ready once it serves what the fleet should, or knows that there is nothing to serve yet."""

    def __init__(self, args: ServeArgs) -> None:
        logging.getLogger(names.SERVING_LOG).setLevel(logging.INFO)
        self._args = args
        context = serve.get_replica_context()
        measures = metrics.Measures()
        self._replica = Replica(
            Registry(settings()),
            model_name=args.model_name,
            name=context.replica_id.unique_id,
            on_swap=measures.swapped,
            on_refusal=measures.refused,
        )
        self._fleet = Fleet(self._replica, ServePeers(context.app_name, names.DEPLOYMENT))
        self._follower = Follower(self._fleet)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Make the ingress of this replica, after its constructor."""
        configured = settings()
        resources = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
        return routes.create(
            self._fleet,
            self._follower,
            limits=Limits(rows=self._args.max_rows, body_bytes=self._args.max_body_bytes),
            access=routes.Access(
                tokens=configured.serve_tokens,
                predict_needs_token=configured.predict_needs_token,
                webhook_secret=configured.webhook_secret,
            ),
            threads=max(1, int(resources.get("CPU", 1))),
        )

    async def answer(self, step: str, *args: object) -> object:
        """Do what another replica, or this one, asks all of them for.

        Args:
            step: One of the steps below.
            args: What the step takes.
        """
        steps: Steps = {
            "claim": self._replica.claim,
            "prepare": self._replica.prepare,
            "commit": self._replica.commit,
            "release": self._replica.release,
            "report": self._replica.report,
            "heard": self._follower.heard,
        }
        return await steps[step](*args)


def build(args: ServeArgs) -> serve.Application:
    """Build the Serve application from the arguments of its config."""
    deployment = serve.deployment(name=names.DEPLOYMENT, **OPTIONS)
    application: serve.Application = deployment(serve.ingress()(ModelServer)).bind(args)
    return application

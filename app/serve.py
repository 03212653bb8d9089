"""The Ray Serve application: one deployment whose replicas hold the model and answer HTTP.

Its import path is `app.serve:build`; the same builder serves on one machine and in a RayService.
"""

from typing import Final

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import serve

from app import api, names
from app.openapi import Limits
from app.registry import Registry
from app.replica import Replica
from app.settings import settings

MAX_ONGOING_REQUESTS: Final = 64
"""Requests that one replica has under way at once, before the proxy keeps further ones waiting."""


class ServeArgs(BaseModel):
    """Arguments of the application, from `args` of the Serve config."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_name: str = Field(
        default_factory=lambda: settings().model_name,
        pattern=names.MODEL_NAME_PATTERN,
        description="Registered model whose champion serves.",
    )
    max_rows: int = Field(default=10_000, ge=1, description="The most rows of one prediction request.")
    max_body_bytes: int = Field(default=8 * 1024**2, ge=1024, description="The most bytes of one request.")


class ModelServer:
    """One replica: it is ready once it serves the champion, or knows that there is none."""

    def __init__(self, args: ServeArgs) -> None:
        self._args = args
        name = serve.get_replica_context().replica_id.unique_id
        self._replica = Replica(Registry(settings()), model_name=args.model_name, name=name)
        self._replica.start()

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Make the ingress of this replica, after its constructor."""
        limits = Limits(rows=self._args.max_rows, body_bytes=self._args.max_body_bytes)
        return api.create(self._replica, limits=limits, tokens=settings().serve_tokens)


def build(args: ServeArgs) -> serve.Application:
    """Build the Serve application from the arguments of its config."""
    deployment = serve.deployment(name=names.DEPLOYMENT, max_ongoing_requests=MAX_ONGOING_REQUESTS)
    application: serve.Application = deployment(serve.ingress()(ModelServer)).bind(args)
    return application

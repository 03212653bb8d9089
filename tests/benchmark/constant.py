"""A Serve application that reads the request and always sends the same bytes: the cost of Serve and its proxy alone."""

from typing import Final

from ray import serve
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.serving.application import DEPLOYMENT_OPTIONS

BODY: Final = (
    b'{"predictions":["high"],"probabilities":[[0.7946666666666666,0.20533333333333334]],"model_version":"2",'
    b'"timestamp":"2026-01-01T00:00:00.000000Z"}'
)


async def respond(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI application without routes."""
    if scope["type"] == "http":
        await Request(scope, receive).body()
        await Response(BODY, media_type="application/json")(scope, receive, send)
    elif scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})


class Constant:
    """The deployment."""

    def __serve_build_asgi_app__(self) -> object:
        """Return the ASGI application of a replica."""
        return respond


deployment = serve.deployment(name="Constant", ray_actor_options={"num_cpus": 0}, **DEPLOYMENT_OPTIONS)
application: Final = deployment(serve.ingress()(Constant)).bind()

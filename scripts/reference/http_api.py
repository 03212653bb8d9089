"""docs/reference/http-api.md: every route, message and problem, from the OpenAPI document of the application."""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Concatenate, Final

from fastapi import FastAPI
from pydantic import SecretStr

from app import errors, names
from app.models.registry import Registry
from app.models.rollout_records import RolloutRecords
from app.models.shadow_runs import ShadowRuns
from app.serving import routes as app_routes
from app.serving.access import AccessRules
from app.serving.catalog.catalog import Catalog
from app.serving.catalog.catalog_follower import CatalogFollower
from app.serving.catalog.default_model import DefaultModel
from app.serving.error_responses import PROBLEM_JSON
from app.serving.fleet.alias_follower import AliasFollower
from app.serving.fleet.fleet import Fleet
from app.serving.fleet.protocol import Answer, Args, FleetMember
from app.serving.fleet.replica import Replica
from app.serving.loading.loader import ModelLoader
from app.serving.measures.measures import Measures
from app.serving.requests import body
from app.serving.requests.limits import RETRY_AFTER_S, SMALL_BODY_BYTES, RequestLimits
from app.serving.rollout.challenger import Challenger, WarmLoader
from app.serving.rollout.member import RolloutMember
from app.serving.rollout.rollout_follower import RolloutFollower
from app.serving.rollout.rollouts import Rollouts
from app.serving.schemas import Problem
from app.serving.shadow.member import ShadowMember
from app.serving.shadow.shadows import Shadows
from app.settings import Settings
from scripts.reference.json_schema import Schema, fields
from scripts.reference.markdown import code, table
from scripts.reference.markdown import page as markdown_page

INTRODUCTION: Final = f"""\
Every path below starts with the route prefix: `{names.ROUTE_PREFIX}` on one machine, the key `routePrefix` of a stack.
Requests and answers are JSON in UTF-8. A running service shows its routes at `/docs` and its OpenAPI document at
`/openapi.json`, with the columns of the model that it serves and with examples that work unchanged."""

TOKENS: Final = """\
`MANTA_SERVE_TOKENS` lists the accepted bearer tokens; if the list is empty, no request needs a token. With
`MANTA_PREDICT_NEEDS_TOKEN=true`, predictions need a token too, and `GET /model` and `/openapi.json` show example
rows only to requests with a token. With `MANTA_SHOW_EXAMPLES=false` they show none. `POST /model/webhook` exists only
if `MANTA_WEBHOOK_SECRET` is set; MLflow signs its requests with that secret.

The paths below `/v2` are those of the [Open Inference
Protocol](https://github.com/kserve/open-inference-protocol), which the clients of KServe and Triton speak.
`/invocations`, `/ping`, `/health` and `/version` are those of `mlflow models serve`."""

PROBLEMS: Final = f"""\
Errors of the paths of the two protocols have the form of their protocol. Every other error of the application is a
problem document of [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) with the
content type `{PROBLEM_JSON}`."""

NPY: Final = f"""\
**Body, `{body.NPY}`**

A file in the format of `numpy.save`: an array of numbers or booleans of shape (rows, columns), with the columns in the
order of `GET /model`. A column that is optional in the document takes null
and NaN as a missing value, and a row by name may leave it out. An array in npy format cannot hold text."""

PREDICT_OPERATION: Final = "predict_predict_"
"""Beginning of the id of `POST /predict` in the OpenAPI document."""

NO_FIELDS: Final = "The page of the protocol describes the content."

HEADERS: Final = (
    ("`Authorization: Bearer TOKEN`", "request", "The bearer token."),
    ("`Content-Type`", "request", f"`{body.JSON}`, or `{body.NPY}` for `POST /predict`."),
    ("`X-Request-Id`", "both", "Id of the request. Ray Serve generates one if the request has none."),
    ("`WWW-Authenticate: Bearer`", "answer", "With status 401."),
    (
        f"`Retry-After: {RETRY_AFTER_S}`",
        "answer",
        "With status 503 from an overloaded replica: seconds until the next try.",
    ),
)


def page() -> str:
    """The page: routes, messages, problems, headers and limits."""
    document = _application().openapi()
    schemas = document["components"]["schemas"]
    routes = {
        f"{method.upper()} {path}": route
        for path, methods in document["paths"].items()
        for method, route in methods.items()
    }
    summary = [
        (f"[`{name}`](#{_anchor(name)})", _first_paragraph(route), "yes" if "security" in route else "no")
        for name, route in routes.items()
    ]
    blocks = [INTRODUCTION, table(("Request", "Purpose", "Bearer token"), summary), TOKENS]
    for name, route in routes.items():
        blocks += [f"## {name}", *_route_blocks(route, schemas)]
    blocks.append("## Nested messages")
    for name in sorted(schemas.keys() - {_response_schema(route) for route in routes.values()}):
        blocks += [f"### {name}", schemas[name]["description"], fields(schemas[name])]
    blocks += ["## Problems", PROBLEMS, fields(Problem.model_json_schema())]
    blocks += [table(("Type", "Status", "Title", "Meaning"), _problem_types(routes))]
    blocks += ["## Headers", table(("Header", "In", "Meaning"), HEADERS)]
    blocks += ["## Limits", table(("Limit", "Value", "If a request exceeds it"), _limits())]
    return markdown_page("HTTP API", source="the FastAPI application in app/", blocks=blocks)


class _EmptyGroup:
    """The replica group of a replica that is not deployed."""

    async def broadcast(
        self,
        method: Callable[Concatenate[FleetMember, Args], Awaitable[Answer]],
        timeout_s: float,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> list[Answer]:
        """Call no replica."""
        del method, timeout_s, args, kwargs
        return []

    async def count_running(self) -> int:
        """Count no replica."""
        return 0


def _application() -> FastAPI:
    """The API of a replica that serves no model and connects to no server."""
    config = Settings(mlflow_tracking_uri="http://127.0.0.1")
    registry = Registry(config)
    loader = ModelLoader(mlflow_uri=config.mlflow_tracking_uri, model_cache=config.model_cache)
    replica = Replica(
        registry,
        loader,
        model_name=names.MODEL_NAME,
        name="",
        on_swap=lambda *_: None,
        on_refusal=lambda *_: None,
    )
    group = _EmptyGroup()
    fleet = Fleet(replica, group)
    follower = AliasFollower(fleet)
    measures = Measures()
    rollout = RolloutMember(replica, Challenger(replica, group), WarmLoader(loader), measures)
    records = RolloutRecords(config.mlflow_tracking_uri, names.MODEL_NAME)
    shadow = ShadowMember(replica, keeps_rows=False, measures=measures)
    shadows = Shadows(fleet, shadow, records, ShadowRuns(config.mlflow_tracking_uri, names.MODEL_NAME))
    default = DefaultModel(replica, follower, rollout, shadow)
    catalog = Catalog(
        default,
        registry=registry,
        records=partial(RolloutRecords, config.mlflow_tracking_uri),
        runs=partial(ShadowRuns, config.mlflow_tracking_uri),
        loader=loader,
        group=group,
        listed=(),
        memory_bytes=1,
        measures=measures,
    )
    secret = SecretStr("secret")
    access = AccessRules(tokens=[secret], predict_needs_token=False, show_examples=True, webhook_secret=secret)
    followers = CatalogFollower(catalog), RolloutFollower(Rollouts(fleet, rollout, records), shadows)
    return app_routes.create_api(fleet, follower, catalog, *followers, limits=RequestLimits(), access=access)


def _route_blocks(route: Schema, schemas: Schema) -> Iterator[str]:
    """Yield the description, the bodies, the answer and the problems of a route."""
    yield inspect.cleandoc(route["description"])
    for kind, content in route.get("requestBody", {}).get("content", {}).items():
        yield f"**Body, `{kind}`**" + ("" if route["requestBody"]["required"] else " (optional)")
        forms = content["schema"].get("oneOf", [content["schema"]])
        for form in forms:
            yield form["description"]
            yield fields(form, presence="Required")
        if route["operationId"].startswith(PREDICT_OPERATION):
            yield NPY
    for status in route["responses"]:
        if int(status) < HTTPStatus.BAD_REQUEST:
            yield f"**Answer, status {status}**"
            schema = _response_schema(route)
            inline = schemas[schema] if schema else _response_content(route)
            yield fields(inline) if "properties" in inline else NO_FIELDS
    problems = [
        (status, response["description"])
        for status, response in sorted(route["responses"].items())
        if int(status) >= HTTPStatus.BAD_REQUEST
    ]
    if problems:
        yield table(("Problem", "Title"), problems)


def _response_schema(route: Schema) -> str:
    """Name of the schema of a route's response; empty if the schema has no name."""
    reference: str = _response_content(route).get("$ref", "")
    return reference.rpartition("/")[2]


def _response_content(route: Schema) -> Schema:
    """Schema of a route's response."""
    response = next(response for status, response in route["responses"].items() if status.startswith("2"))
    schema: Schema = response["content"]["application/json"]["schema"]
    return schema


def _problem_types(routes: Mapping[str, Schema]) -> Iterator[tuple[str, ...]]:
    """Yield the problems that the routes list, the problem of a defect, and the problem of an unknown path."""
    titles = {
        title
        for route in routes.values()
        for answer in route["responses"].values()
        for title in answer["description"].split(" or ")
    }
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.MantaError)]
    for kind in sorted(kinds, key=lambda kind: (kind.status, kind.title)):
        if kind.title in titles or kind is errors.MantaError:
            urn = str(kind("").problem("")["type"])
            meaning = "A defect of the service." if kind is errors.MantaError else inspect.getdoc(kind) or ""
            yield code(urn), str(kind.status), kind.title, meaning
    yield code("about:blank"), "404, 405", "Not Found, Method Not Allowed", "An unknown path, or a wrong method."


def _limits() -> Iterator[tuple[str, ...]]:
    limits = RequestLimits()
    yield "Rows of one prediction request", f"{limits.rows:,}", "413"
    yield "Bytes of a prediction request's body", f"{limits.body_bytes:,}", "413"
    yield "Bytes of any other request's body", f"{limits.control_body_bytes:,}", "413"
    yield "Seconds for the whole body", f"{limits.body_timeout_s:g}", "408"
    yield (
        f"Bytes of all bodies above {SMALL_BODY_BYTES:,} bytes in a replica",
        f"{limits.held_bytes:,}",
        "503 with `Retry-After`",
    )
    yield "Long predictions in progress in a replica", f"{limits.ongoing:,}", "The request waits."
    yield "Long predictions that wait for a replica", f"{limits.queued:,}", "503 with `Retry-After`"


def _first_paragraph(route: Schema) -> str:
    paragraph: str = route["description"].split("\n\n")[0]
    return " ".join(paragraph.split())


def _anchor(name: str) -> str:
    """The anchor of a heading, as forges derive it."""
    return "".join(
        character for character in name.lower().replace(" ", "-") if character.isalnum() or character in "-_"
    )

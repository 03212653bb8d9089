"""The paths of the models by name: their list, the description of one, its predictions, loads and end.

The default model has these paths too, under its name.
"""

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from fastapi import Request, Response
from fastapi.params import Depends as Dependency

from app import names
from app.errors import ModelNotFoundError, PlatformError
from app.serving import model_status, openapi, problem_openapi, schemas
from app.serving.access import AccessRules
from app.serving.api import Api
from app.serving.catalog.catalog import Catalog
from app.serving.catalog.catalog_follower import CatalogFollower
from app.serving.catalog.champion_model import DESCRIBE
from app.serving.fleet.fleet import Fleet
from app.serving.fleet.load import ANSWER_TIMEOUT_S
from app.serving.fleet.protocol import FleetMember, HeldModel
from app.serving.model_status import Description
from app.serving.requests import body
from app.serving.requests.deadlines import Deadlines
from app.serving.requests.limits import RequestLimits
from app.serving.requests.row_errors import shortened
from app.serving.schemas import LoadResponse, ModelList, ModelStatus, ModelSummary, NamedLoadRequest, Withdrawal

MODELS: Final = "/models"
MODEL: Final = "/models/{name}"

LOAD_FORM: Final = '{"version": string} or {"alias": string}, or no body'
"""The forms of a load request, for error messages."""


def install(
    api: Api,
    fleet: Fleet,
    catalog: Catalog,
    follower: CatalogFollower,
    *,
    limits: RequestLimits,
    access: AccessRules,
    token_check: Sequence[Dependency],
) -> None:
    """Add the paths to an API.

    Args:
        api: The API.
        fleet: Loads the default model.
        catalog: The models by name.
        follower: Loads the other models.
        limits: What the replica accepts.
        access: Whether a request is shown examples.
        token_check: What checks the token of a request that changes something.
    """
    deadlines = Deadlines(limits.body_timeout_s)

    @api.get(MODELS, response_model=ModelList)
    async def models() -> Response:
        """List the models of the service: state, version, memory, last use and requests of each."""
        held = await _held(catalog)
        # There may be thousands of models. Predictions do not wait for their list.
        return Response(await asyncio.to_thread(_list_models, catalog, held), media_type=body.JSON)

    @api.get(MODEL, responses=problem_openapi.MODEL_PROBLEMS)
    async def model(request: Request, name: str) -> ModelStatus:
        """Describe a model, and what each replica serves. A model that is not in memory has no columns here."""
        if name == catalog.default.name:
            served = catalog.default.served
            description = model_status.describe(served) if served else model_status.NOT_LOADED
            replicas = await fleet.report()
        else:
            catalog.require_name(name)
            description = await _describe(catalog, name)
            replicas = await catalog.model(name).fleet.report()
        if not access.shows_examples_to(request.headers, name):
            description = model_status.without_example(description)
        return model_status.status(description, replicas, mlflow_uri=catalog.registry.uri)

    @api.post(openapi.NAMED_LOAD, dependencies=token_check, responses=problem_openapi.LOAD_PROBLEMS)
    async def load(request: Request, name: str) -> LoadResponse:
        """Serve a version of a model on every replica and make it the champion. If a replica refuses, nothing changes.

        A model that the service did not serve gets the tag `manta.serve` in MLflow: the service serves it from now on.
        """
        content, _ = await body.read(request, max_bytes=limits.control_body_bytes, deadlines=deadlines)
        message = body.parse(NamedLoadRequest, content, form=LOAD_FORM) if content else NamedLoadRequest()
        load_request = message.with_name(_checked_name(name))
        is_default = name == catalog.default.name
        version, replicas = await (fleet.load(load_request) if is_default else follower.load(name, load_request))
        return LoadResponse(
            model_loaded=True,
            model_info=model_status.model_info(version),
            mlflow_uri=catalog.registry.uri,
            timestamp=schemas.now(),
            replicas=replicas,
        )

    @api.delete(MODEL, dependencies=token_check, responses=problem_openapi.WITHDRAW_PROBLEMS)
    async def withdraw(name: str) -> Withdrawal:
        """Stop to serve a model: its tag `manta.serve` in MLflow is deleted, and its memory is free again."""
        await follower.withdraw(name)
        return Withdrawal(name=name, is_served=False)


def _checked_name(name: str) -> str:
    """Return a name that MLflow can look up.

    Raises:
        ModelNotFoundError: No registered model can have the name.
    """
    if re.fullmatch(names.MODEL_NAME_PATTERN, name) is None:
        raise ModelNotFoundError(
            f"{shortened(name)!r} is no name of a registered model.",
            allowed="names without / : and quotes",
            next_step="See MLflow's page for all registered models.",
        )
    return name


async def _held(catalog: Catalog) -> list[HeldModel]:
    """Return the models that every replica holds, or only those of this replica if not all replicas answer."""
    try:
        answers = await catalog.group.broadcast(FleetMember.held_models, ANSWER_TIMEOUT_S)
    except PlatformError:
        return catalog.all_held_models()
    return [model for answer in answers for model in answer]


async def _describe(catalog: Catalog, name: str) -> Description:
    """Describe a model by a replica that holds it."""
    model = catalog.model(name)
    if model.served is not None:
        return model_status.describe(model.served)
    try:
        answers = await catalog.group.broadcast(FleetMember.on_model, ANSWER_TIMEOUT_S, name, DESCRIBE, ())
    except PlatformError:
        return model_status.NOT_LOADED
    return next((answer for answer in answers if answer is not None), model_status.NOT_LOADED)


async def list_last_used(catalog: Catalog, count: int) -> list[ModelSummary]:
    """Describe the default model, and after it the other models that were used last.

    Args:
        catalog: The models by name.
        count: Maximum number of models.
    """
    champions, by_name = _champions(catalog), _by_name(await _held(catalog))

    def order(name: str) -> tuple[bool, float, str]:
        return name != catalog.default.name, -max((e.last_used_s or 0 for e in by_name.get(name, [])), default=0), name

    return [
        _summary(name, champions[name], by_name.get(name, []), is_default=name == catalog.default.name)
        for name in sorted(champions, key=order)[:count]
    ]


def _champions(catalog: Catalog) -> dict[str, str | None]:
    """Return the champions of all models by name: the default model first, then the others by name."""
    others = dict(sorted((catalog.champions or {}).items()))
    return {catalog.default.name: catalog.default.replica.served_version} | others


def _by_name(held: Sequence[HeldModel]) -> dict[str, list[HeldModel]]:
    by_name: dict[str, list[HeldModel]] = {}
    for model in held:
        by_name.setdefault(model.name, []).append(model)
    return by_name


def _list_models(catalog: Catalog, held: Sequence[HeldModel]) -> bytes:
    """Write a `ModelList` as JSON, in parts, so that Python's lock is free in between."""
    champions = _champions(catalog)
    by_name = _by_name(held)
    frame = ModelList(
        models=[],
        memory_limit_bytes=catalog.budget.limit_bytes,
        trouble=catalog.trouble or None,
        timestamp=schemas.now(),
    )
    summaries = (
        _summary(name, champion, by_name.get(name, []), is_default=name == catalog.default.name)
        for name, champion in champions.items()
    )
    listed = ",".join(summary.model_dump_json() for summary in summaries)
    return frame.model_dump_json().replace('"models":[]', f'"models":[{listed}]', 1).encode()


def _summary(name: str, champion: str | None, entries: Sequence[HeldModel], *, is_default: bool) -> ModelSummary:
    """Describe a model by what each replica holds of it. Figures are sums over the replicas."""
    holders = [entry for entry in entries if entry.version is not None]
    champions = [entry for entry in holders if not entry.is_pinned]
    used_s = max((entry.last_used_s for entry in entries if entry.last_used_s is not None), default=None)
    state = "loaded" if holders else "loading" if any(entry.is_loading for entry in entries) else "not loaded"
    return ModelSummary(
        name=name,
        is_default=is_default,
        state=state,
        version=champions[0].version if champions else None,
        champion=champion,
        size_bytes=sum(entry.size_bytes for entry in entries),
        replicas=len(champions),
        last_used=None if used_s is None else datetime.fromtimestamp(used_s, UTC),
        requests=sum(entry.requests for entry in entries),
        refused=next((entry.refused for entry in entries if entry.refused), None),
    )

"""The page `/` of the service, its fragment that browsers ask for every few seconds, and the JSON routes for it alone.

The page needs no session and keeps nothing: any replica answers any of its requests. All addresses in it are relative,
so it works below every path prefix.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.staticfiles import StaticFiles

from app.errors import ModelNotFoundError, RegistryUnavailableError
from app.records.drift_runs import DriftRun
from app.serving import measure_paths, model_status, problem_openapi
from app.serving.access import AccessRules
from app.serving.catalog.catalog import Catalog
from app.serving.fleet.alias_follower import AliasFollower
from app.serving.fleet.fleet import Fleet
from app.serving.model_paths import list_last_used
from app.serving.page import drift, rollout_view, trainings, versions, view
from app.serving.page.drift import DriftStatus
from app.serving.page.history_table import SLOTS_OF_ROW
from app.serving.page.registry_answer import RegistryAnswer
from app.serving.page.trainings import TrainingList
from app.serving.rollout import rollout_status
from app.serving.rollout.rollout_follower import RolloutFollower
from app.serving.schemas import VersionList

FOLDER: Final = Path(__file__).parent

MAX_MODELS: Final = 20
"""Models that the page lists. `GET /models` lists all."""

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""The browser loads nothing from elsewhere, and runs no script that a name or a description might contain."""


def create_templates() -> Environment:
    """Return the templates of the page, which escape all that they show."""
    templates = Environment(
        loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    templates.filters |= view.FILTERS
    return templates


def install(
    api: FastAPI,
    fleet: Fleet,
    follower: AliasFollower,
    catalog: Catalog,
    rollout_follower: RolloutFollower,
    judgements: Callable[[], Sequence[DriftRun]],
    access: AccessRules,
) -> None:
    """Add the page to an API.

    Args:
        api: The API.
        fleet: What every replica serves.
        follower: Why the champion cannot be looked up at present.
        catalog: The models by name.
        rollout_follower: The rollouts and shadows of the default model.
        judgements: Returns the newest judgement of drift of each version, newest first.
        access: Which requests require a token.
    """
    templates = create_templates()
    registry, name = fleet.replica.registry, catalog.default.name
    newest_versions = RegistryAnswer(partial(versions.read, registry, name), uri=registry.uri)
    newest_trainings = RegistryAnswer(partial(trainings.read, registry.trainings), uri=registry.uri)
    api.mount("/page/files", StaticFiles(directory=FOLDER / "files"))

    @api.get("/model/versions", responses=problem_openapi.VERSIONS_PROBLEMS)
    async def model_versions() -> VersionList:
        """List the newest versions of the default model: gate, metric and aliases of each."""
        return await newest_versions.read()

    @api.get("/model/trainings", responses=problem_openapi.TRAININGS_PROBLEMS)
    async def model_trainings() -> TrainingList:
        """List the newest trainings: state, verdict of the gate, run in MLflow, and version that each registered."""
        return await newest_trainings.read()

    @api.get("/model/drift")
    async def model_drift() -> DriftStatus:
        """Return the last judgement of drift about the default model, and the last decision about retraining it.

        Each replica asks MLflow every 60 to 90 s.
        """
        return drift.describe(judgements(), name)

    async def state() -> view.State:
        served = fleet.replica.served
        description = model_status.describe(served) if served else model_status.NOT_LOADED
        version_list, training_list, trouble = None, None, ""
        try:
            training_list = await newest_trainings.read()
            version_list = await newest_versions.read()
        except ModelNotFoundError:
            pass
        except RegistryUnavailableError as error:
            trouble = str(error)
        tracks, replicas = await measure_paths.read_tracks(catalog, name)
        return view.State(
            status=model_status.status(
                model_status.without_example(description),
                await fleet.report(),
                mlflow_uri=fleet.replica.registry.uri,
            ),
            name=name,
            measures=(await measure_paths.read(catalog, name)).measures,
            rollout=rollout_view.build(await rollout_status.describe(rollout_follower.rollouts)),
            drift=drift.describe(judgements(), name),
            shadow=(await rollout_follower.shadows.describe()).without_rows(),
            history=measure_paths.describe_history(name, tracks, replicas),
            history_in_long_slots=measure_paths.describe_history(name, tracks, replicas, joined=SLOTS_OF_ROW),
            models=await list_last_used(catalog, MAX_MODELS),
            model_count=1 + len(catalog.champions or {}),
            memory_limit_bytes=catalog.budget.limit_bytes,
            versions=version_list.versions if version_list else [],
            trainings=training_list.trainings if training_list else [],
            trouble=trouble or follower.trouble or catalog.trouble,
            load_needs_token=bool(access.tokens),
            predict_needs_token=access.predict_needs_token,
        )

    @api.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        if not request.scope["path"].endswith("/"):
            return RedirectResponse(f"{request.scope['path'].rpartition('/')[2]}/")
        return HTMLResponse(templates.get_template("page.html").render(state=await state()), headers=HEADERS)

    @api.get("/page/state", include_in_schema=False)
    async def fragment() -> Response:
        return HTMLResponse(templates.get_template("state.html").render(state=await state()), headers=HEADERS)

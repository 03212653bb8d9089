"""The paths of the measures: what each version of a model did, summed over the replicas."""

from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI

from app.errors import PlatformError
from app.serving import problem_openapi, schemas
from app.serving.catalog.catalog import Catalog
from app.serving.fleet.load import ANSWER_TIMEOUT_S
from app.serving.fleet.protocol import FleetMember
from app.serving.measures import fleet_history, fleet_measures
from app.serving.measures.history import SLOT_S, Track
from app.serving.measures.messages import MeasuresHistory, ModelMeasures

MEASURES: Final = "/model/measures"
NAMED_MEASURES: Final = "/models/{name}/measures"


def install(api: FastAPI, catalog: Catalog) -> None:
    """Add the paths to an API."""

    @api.get(MEASURES)
    async def measures() -> ModelMeasures:
        """Return requests, rows, errors, latencies and answers of the default model, by version and role."""
        return await read(catalog, catalog.default.name)

    @api.get(NAMED_MEASURES, responses=problem_openapi.MODEL_PROBLEMS)
    async def named_measures(name: str) -> ModelMeasures:
        """Return requests, rows, errors, latencies and answers of a model, by version and role."""
        if name != catalog.default.name:
            catalog.require_name(name)
        return await read(catalog, name)

    @api.get(f"{MEASURES}/history")
    async def history() -> MeasuresHistory:
        """Return requests, errors and latencies of the default model in each half minute of the last hour."""
        return describe_history(catalog.default.name, *await read_tracks(catalog, catalog.default.name))

    @api.get(f"{NAMED_MEASURES}/history", responses=problem_openapi.MODEL_PROBLEMS)
    async def named_history(name: str) -> MeasuresHistory:
        """Return requests, errors and latencies of a model in each half minute of the last hour."""
        if name != catalog.default.name:
            catalog.require_name(name)
        return describe_history(name, *await read_tracks(catalog, name))


async def read(catalog: Catalog, name: str) -> ModelMeasures:
    """Add the measures of all replicas, or return those of this replica if not all replicas answer."""
    try:
        answers = await catalog.group.broadcast(FleetMember.measures, ANSWER_TIMEOUT_S, name)
    except PlatformError:
        answers = [catalog.measures.snapshots(name)]
    snapshots = fleet_measures.add(snapshot for answer in answers for snapshot in answer)
    return ModelMeasures(
        name=name,
        measures=[fleet_measures.describe(snapshot) for snapshot in snapshots],
        replicas=len(answers),
        timestamp=schemas.now(),
    )


async def read_tracks(catalog: Catalog, name: str) -> tuple[list[Track], int]:
    """Add the last hour of all replicas, or return that of this replica if not all replicas answer.

    Returns:
        The sums by version and role, and the number of replicas in them.
    """
    try:
        answers = await catalog.group.broadcast(FleetMember.measures_history, ANSWER_TIMEOUT_S, name)
    except PlatformError:
        answers = [catalog.history.read(name)]
    return fleet_history.add(track for answer in answers for track in answer), len(answers)


def describe_history(name: str, tracks: Sequence[Track], replicas: int, *, joined: int = 1) -> MeasuresHistory:
    """Build the message about the last hour of a model.

    Args:
        name: Name of the registered model.
        tracks: See `read_tracks`.
        replicas: See `read_tracks`.
        joined: Number of slots that are joined into one; see `fleet_history.describe`.
    """
    return MeasuresHistory(
        name=name,
        begin=fleet_history.begin(tracks),
        slot_seconds=joined * SLOT_S,
        history=[fleet_history.describe(track, joined=joined) for track in tracks],
        replicas=replicas,
        timestamp=schemas.now(),
    )

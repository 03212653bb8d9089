"""The paths of the measures: what each version of a model did, summed over the replicas."""

from typing import Final

from fastapi import FastAPI

from app.errors import PlatformError
from app.serving import problem_openapi, schemas
from app.serving.catalog.catalog import Catalog
from app.serving.fleet.load import ANSWER_TIMEOUT_S
from app.serving.fleet.protocol import FleetMember
from app.serving.measures import fleet_measures
from app.serving.measures.messages import ModelMeasures

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

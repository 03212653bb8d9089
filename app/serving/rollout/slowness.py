"""Beyond which time a request counts as slow: the p95 of the champion itself."""

from typing import Final

from app.errors import PlatformError
from app.serving.fleet.load import ANSWER_TIMEOUT_S
from app.serving.fleet.protocol import FleetMember, ReplicaGroup
from app.serving.measures import fleet_measures
from app.serving.measures.measures import CHAMPION
from app.serving.measures.tally import quantile_s

SLOW_QUANTILE: Final = 0.95

MIN_REQUESTS: Final = 100
"""Requests of the champion that are necessary to know its p95."""


async def champion_p95(group: ReplicaGroup, model: str, version: str) -> float | None:
    """Return the p95 of the champion over all replicas, in seconds; None until it has answered enough requests.

    Args:
        group: All replicas.
        model: Name of the registered model.
        version: Number of the champion.
    """
    try:
        answers = await group.broadcast(FleetMember.measures, ANSWER_TIMEOUT_S, model)
    except PlatformError:
        return None
    for total in fleet_measures.add(snapshot for answer in answers for snapshot in answer):
        if total.role == (model, version, CHAMPION) and total.requests >= MIN_REQUESTS:
            return quantile_s(total.latencies, SLOW_QUANTILE)
    return None

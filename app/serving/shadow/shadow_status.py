"""Describes a shadow: for `GET /model/shadow`, and for the MLflow run of its version."""

from app.errors import PlatformError
from app.serving import schemas
from app.serving.fleet.load import ANSWER_TIMEOUT_S
from app.serving.fleet.protocol import FleetMember, ReplicaGroup
from app.serving.measures import fleet_measures
from app.serving.measures.measures import CHAMPION
from app.serving.measures.tally import Role, TallySnapshot
from app.serving.shadow import figures as shadow_figures
from app.serving.shadow.comparison import Comparison, merge
from app.serving.shadow.member import ShadowReport
from app.serving.shadow.messages import ShadowFigures, ShadowState, ShadowStatus


async def status(
    group: ReplicaGroup, model: str, state: ShadowState | None, reports: list[ShadowReport], *, trouble: str
) -> ShadowStatus:
    """Build the message about a shadow.

    Args:
        group: All replicas.
        model: Name of the registered model.
        state: The shadow; None if there is none.
        reports: The parts of the replicas.
        trouble: Why the figures are not in MLflow; empty if they are.
    """
    comparison = merge([report.comparison for report in reports if report.comparison is not None])
    troubles = [report.trouble or (str(report.error) if report.error else "") for report in reports]
    return ShadowStatus(
        shadow=state,
        figures=None if comparison is None else await figures(group, model, comparison),
        rows=[] if comparison is None else comparison.most_different,
        replicas=len(reports),
        replicas_ready=sum(report.is_held for report in reports),
        trouble=next((text for text in [*troubles, trouble] if text), None),
        timestamp=schemas.now(),
    )


async def figures(group: ReplicaGroup, model: str, comparison: Comparison) -> ShadowFigures:
    """Build the figures of a comparison, with the latency of the champion on all replicas."""
    champion = await _champion(group, Role(model, comparison.champion, CHAMPION))
    return shadow_figures.build(comparison, champion_latency=shadow_figures.latency(champion))


async def _champion(group: ReplicaGroup, role: Role) -> TallySnapshot | None:
    """Return what the champion did on all replicas."""
    try:
        answers = await group.broadcast(FleetMember.measures, ANSWER_TIMEOUT_S, role.model)
    except PlatformError:
        return None
    totals = fleet_measures.add(snapshot for answer in answers for snapshot in answer)
    return next((total for total in totals if total.role == role), None)

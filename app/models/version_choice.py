"""The choice of a version for a load that names neither a version nor an alias.

The tags of a version say what is known about it. Training and `app.models.registry` write them.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

GATE_TAG: Final = "gate"
"""Tag of a model version: the verdict of the promotion gate on held-out rows."""

PASSED: Final = "passed"
FAILED: Final = "failed"

FORCED: Final = "forced"
"""Verdict for a version that failed the comparison and was promoted by `--force`."""

PROMOTE_TAG: Final = "manta.promote"
"""Tag of a model version: `true` if training was to promote it, `false` with `--no-promote` and for a rollout."""

PROMOTED_AT_TAG: Final = "manta.promoted_at"
"""Tag of a model version that training or a rollout promoted: the time, in milliseconds since 1970."""

ROLLED_BACK_TAG: Final = "manta.rolled_back"
"""Tag of a model version: `true` if a load replaced it by an older version while it was the champion."""

ROLLOUT_VERDICT_TAG: Final = "rollout.verdict"
"""Tag of a model version: how its last rollout ended, such as `promoted`."""

REPLACED_TAG: Final = "rollout.champion"
"""Tag of a model version: number of the champion that shared the requests with it in its last rollout."""

VERDICT_TAG: Final = "gate.verdict"
"""Tag that every training writes. A version that a person registered and tagged lacks it."""

REASON_TAG: Final = "gate.reason"
"""Tag of a model version: what the gate compared, in sentences."""

METRIC_TAG: Final = "gate.metric"
"""Tag of a model version: the metric of the gate."""


class TaggedVersion(Protocol):
    """A version of a registered model. MLflow's class fits, but takes 1.5 s to import."""

    @property
    def version(self) -> str | int:
        """Number of the version."""

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of the version, by name."""


def choose(passed: Iterable[TaggedVersion], champion_number: str | None) -> str | None:
    """Choose the version that a load without a version takes.

    It is the newest version that passed its gate, was not trained with `--no-promote` or for a rollout, and was not
    rolled back. It is never older than the champion: if no newer version qualifies, it is the champion.

    Args:
        passed: The versions whose gate tag is `passed`, newest first.
        champion_number: Number of the version that the alias `champion` names; None without the alias.

    Returns:
        The number of the version; None if there is no champion and no version qualifies.
    """
    for version in passed:
        if champion_number is not None and int(version.version) <= int(champion_number):
            break
        if _qualifies(version.tags, has_champion=champion_number is not None):
            return str(version.version)
    return champion_number


def _qualifies(tags: Mapping[str, str], *, has_champion: bool) -> bool:
    # A rollout may have promoted a version that training did not.
    was_held_back = tags.get(PROMOTE_TAG) == "false" and PROMOTED_AT_TAG not in tags
    if was_held_back or ROLLED_BACK_TAG in tags:
        return False
    if not has_champion:
        return True
    # The version is newer than the champion. If it was the champion before, somebody moved the alias back.
    # Earlier releases wrote no `PROMOTE_TAG`. They promoted every version that passed, except with `--no-promote`.
    return PROMOTED_AT_TAG not in tags and (PROMOTE_TAG in tags or VERDICT_TAG not in tags)


def metric_of(tags: Mapping[str, str]) -> str:
    """Return name and value of the metric that the gate compared; empty if no gate judged the version."""
    name, score = tags.get(METRIC_TAG), tags.get("gate.challenger_score")
    return f"{name} {float(score):.4f}" if name and score else ""

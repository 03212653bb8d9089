"""Which version answers a request during a rollout, on one replica."""

import random
from collections.abc import Mapping
from hashlib import blake2b

from app.models.answers import Answers
from app.serving.loading.served_model import ServedModel
from app.serving.prediction_log import request_ids
from app.serving.rollout.counts import BUCKETS, CHALLENGER, CHAMPION, Assignment, RolloutCounts, bucket_limit
from app.serving.rollout.decision import Kind
from app.serving.rollout.policy import RolloutState
from app.serving.rollout.recent_answers import RecentAnswers
from app.serving.shadow.shadow import Shadow


class Split:
    """The traffic of one step. It counts what both versions do.

    Args:
        state: The rollout, in a step.
        challenger: The version that takes a share of the requests.
        counts: Counts of this replica since the rollout began.
        recent: Answers of this replica since the rollout began.
        comparison: Lets the challenger answer copies of the champion's requests; None for no comparison.
    """

    def __init__(
        self,
        state: RolloutState,
        challenger: ServedModel,
        counts: RolloutCounts,
        recent: RecentAnswers,
        comparison: Shadow | None = None,
    ) -> None:
        self.state = state
        self.challenger = challenger
        self.comparison = comparison
        self.timeout_s = state.policy.timeout_seconds
        self._counts = counts
        self._recent = recent
        self._has_classes = challenger.predictor.labels is not None
        self._share = state.policy.share(state.step)
        self._key = state.policy.key.lower()

    def assign(self, headers: Mapping[str, str]) -> Assignment:
        """Assign a request by its key, or by chance if the rollout has no key or the request has none."""
        value = headers.get(self._key) if self._key else None
        if value is None:
            is_challenger = random.random() < self._share  # noqa: S311 - not used for security
            return Assignment(CHALLENGER if is_challenger else CHAMPION, None, self.state.step)
        bucket = bucket_of(value, salt=self.state.id)
        side = CHALLENGER if bucket < bucket_limit(self._share) else CHAMPION
        return Assignment(side, bucket, self.state.step)

    def add_answer(self, assignment: Assignment, *, rows: int, seconds: float) -> None:
        """Count a request that the assigned version answered."""
        self._counts.add_request(assignment.step, assignment.side, rows)
        if self.state.slow_s is not None and seconds > self.state.slow_s:
            self._counts.add_bad(assignment.step, assignment.side, Kind.SLOW, assignment.bucket)

    def add_error(self, assignment: Assignment, *, rows: int) -> None:
        """Count a request that the assigned version failed to answer."""
        self._counts.add_request(assignment.step, assignment.side, rows)
        self._counts.add_bad(assignment.step, assignment.side, Kind.ERROR, assignment.bucket)

    def remember(self, assignment: Assignment, headers: Mapping[str, str], answers: Answers) -> None:
        """Remember the classes that the assigned version answered. Labels of regression models do not count."""
        request_id = headers.get(request_ids.NAME)
        if self._has_classes and request_id:
            self._recent.add(request_ids.shortened(request_id), assignment, answers.predictions)

    def add_wrong(self, assignment: Assignment) -> None:
        """Count an answer of the assigned version that a true label has contradicted."""
        self._counts.add_bad(assignment.step, assignment.side, Kind.WRONG, assignment.bucket)


def bucket_of(value: str, *, salt: str) -> int:
    """Hash a key to a bucket.

    Args:
        value: Value of the header.
        salt: Id of the rollout, so that other keys are the first ones in the next rollout.
    """
    digest = blake2b(value.encode(), digest_size=8, salt=salt.encode()[: blake2b.SALT_SIZE]).digest()
    return int.from_bytes(digest) % BUCKETS

"""Prometheus metrics of a replica, exported by Ray. Ray adds tags for application, deployment and replica.

The alerts and dashboards of the stack read these metrics (`infra/components/monitoring`).
"""

from collections.abc import Callable
from typing import Final

from app.serving.measures.answer_bins import OTHER
from app.serving.measures.exporter import CounterMetric, GaugeMetric

VERSION_TAG: Final = "version"
"""Tag of a metric: number of the model version."""

MAX_REFUSED_VERSIONS: Final = 20
"""Refused versions with a series of their own. Later ones share the version `other`, because a counter of Ray keeps its
series until the replica ends."""


class ReplicaMetrics:
    """Which version of the default model a replica serves. Ray adds the prefix `ray_` to each name.

    Args:
        counter: Creates a counter from its name, description and keys. Importing Ray takes seconds, so the caller does.
        gauge: Creates a gauge.
    """

    def __init__(self, *, counter: Callable[..., CounterMetric], gauge: Callable[..., GaugeMetric]) -> None:
        self._served_version = gauge(
            "manta_served_version", description="Number of the model version that a replica serves."
        )
        self._swaps = counter("manta_swaps", description="Times that a replica began to serve another version.")
        self._refusals = counter(
            "manta_refused_versions", description="Times that a version was refused.", tag_keys=(VERSION_TAG,)
        )
        self._registry_answers = gauge(
            "manta_registry_answers", description="1 if MLflow answered when the fleet last asked for the champion."
        )
        self._champion_served = gauge(
            "manta_champion_served", description="1 if the replica serves the champion, 0 if it serves another version."
        )
        self._refused: set[str] = set()
        """The refused versions with a series of their own."""

    def record_swap(self, version: str) -> None:
        """Record that the replica serves another version."""
        self._served_version.set(int(version), tags={})
        self._swaps.inc(1, tags={})

    def record_refusal(self, version: str) -> None:
        """Record that the replica refused a version."""
        if version not in self._refused and len(self._refused) == MAX_REFUSED_VERSIONS:
            version = OTHER
        else:
            self._refused.add(version)
        self._refusals.inc(1, tags={VERSION_TAG: version})

    def record_reading(self, *, registry_answers: bool, champion: str | None, served: str | None) -> None:
        """Record what the fleet learned when it asked MLflow for the champion.

        Args:
            registry_answers: Whether MLflow answered.
            champion: Version number of the champion; None if it is not known or there is none.
            served: Version number that the replica serves.
        """
        # Ray forgets a gauge that is not set for 20 s, so that the metrics of a dead replica end.
        if served is not None:
            self._served_version.set(int(served), tags={})
        self._registry_answers.set(int(registry_answers), tags={})
        if champion is not None:
            self._champion_served.set(int(served == champion), tags={})


class LogMetrics:
    """What the prediction log of a replica does. Ray adds the prefix `ray_` to each name.

    Args:
        counter: As for `ReplicaMetrics`.
    """

    def __init__(self, *, counter: Callable[..., CounterMetric]) -> None:
        self._written = counter("manta_log_rows", description="Rows that were written to the prediction log.")
        self._dropped = counter(
            "manta_log_dropped_rows",
            description="Rows that were answered and not logged, because the buffer of the prediction log was full.",
        )

    def record_written(self, rows: int) -> None:
        """Record that rows were written."""
        self._written.inc(rows, tags={})

    def record_dropped(self, rows: int) -> None:
        """Record that rows were dropped."""
        self._dropped.inc(rows, tags={})

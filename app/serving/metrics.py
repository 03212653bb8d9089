"""Prometheus metrics of a replica, exported by Ray. Ray adds tags for application, deployment and replica."""

from typing import Final

from ray.serve.metrics import Counter, Gauge

VERSION_TAG: Final = "version"
"""Tag of a metric: number of the model version."""


class ReplicaMetrics:
    """Which model version a replica serves. Ray adds the prefix `ray_` to each name."""

    def __init__(self) -> None:
        self._served_version = Gauge(
            "manta_served_version", description="Number of the model version that a replica serves."
        )
        self._swaps = Counter("manta_swaps", description="Times that a replica began to serve another version.")
        self._refusals = Counter(
            "manta_refused_versions", description="Times that a version was refused.", tag_keys=(VERSION_TAG,)
        )

    def record_swap(self, version: str) -> None:
        """Record that the replica serves another version."""
        self._served_version.set(int(version))
        self._swaps.inc()

    def record_refusal(self, version: str) -> None:
        """Record that the replica refused a version."""
        self._refusals.inc(tags={VERSION_TAG: version})

"""What Ray's exporter tells Prometheus about the served version, by application, deployment and replica."""

from typing import Final

from ray.serve.metrics import Counter, Gauge

VERSION: Final = "version"
"""The tag that holds a version's number."""


class Measures:
    """The measures of one replica; Ray puts `ray_` before each name."""

    def __init__(self) -> None:
        self._version = Gauge("manta_served_version", description="Number of the model version that a replica serves.")
        self._swaps = Counter("manta_swaps", description="Times that a replica began to serve another version.")
        self._refused = Counter(
            "manta_refused_versions", description="Times that a version was refused.", tag_keys=(VERSION,)
        )

    def swapped(self, version: str) -> None:
        """Count a swap to a version."""
        self._version.set(int(version))
        self._swaps.inc()

    def refused(self, version: str) -> None:
        """Count a refusal of a version."""
        self._refused.inc(tags={VERSION: version})

"""Exports the newest judgement of `manta drift` about each champion to Prometheus.

A judgement is a run of MLflow. A schedule or a user starts it. Each replica reads the runs and exports the same values,
at most one group of series for each model.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from app import names
from app.records import drift_runs
from app.records.drift_runs import DriftRun
from app.serving.measures.exporter import GaugeMetric

READ_INTERVAL_S: Final = (60.0, 90.0)
"""Range of the pause between two reads."""

SET_INTERVAL_S: Final = 5.0
"""Pause between two exports. Ray forgets a gauge that is not set for 20 s."""

GAUGES: Final = {
    drift_runs.DRIFT: ("manta_drift", "1 if the last judgement of the champion found drift, else 0."),
    drift_runs.SCORE_FELL: ("manta_score_fell", "1 if the estimated or the realised score fell, else 0."),
    drift_runs.ESTIMATED_SCORE: ("manta_estimated_score", "Accuracy of the champion, estimated without labels."),
    drift_runs.REALISED_SCORE: ("manta_realised_score", "Metric of the gate of the champion, on rows with labels."),
}
"""Name and description of the gauge by the metric of the run."""

log = logging.getLogger(names.SERVING_LOG)


class DriftGauges:
    """Exports judgements.

    Args:
        read: Reads the newest judgement of each version. It may block.
        champions: Returns the number of the champion by the name of each model that the service serves.
        gauge: Creates a gauge. Importing Ray takes seconds, so the caller does.
    """

    def __init__(
        self,
        read: Callable[[], Sequence[DriftRun]],
        champions: Callable[[], Mapping[str, str | None]],
        *,
        gauge: Callable[..., GaugeMetric],
    ) -> None:
        self._read = read
        self._champions = champions
        self._gauges = {
            metric: gauge(name, description=description, tag_keys=("model", "version"))
            for metric, (name, description) in GAUGES.items()
        }
        self.runs: Sequence[DriftRun] = ()
        """The newest judgement of each version, newest first, when MLflow was last read."""
        self._is_failing = False

    async def run_forever(self) -> None:
        """Read and export until cancelled. A failure is logged once, and the last judgements remain."""
        next_read_s = time.monotonic()
        while True:
            if time.monotonic() >= next_read_s:
                await self.read()
                next_read_s = time.monotonic() + random.uniform(*READ_INTERVAL_S)  # noqa: S311 - no secret
            self.export()
            await asyncio.sleep(SET_INTERVAL_S)

    async def read(self) -> None:
        """Read the newest judgements."""
        try:
            self.runs = await asyncio.to_thread(self._read)
        except Exception as error:  # noqa: BLE001 - MLflow's client raises anything, and the service must go on
            if not self._is_failing:
                log.warning("the judgements of manta drift cannot be read: %s", error)
            self._is_failing = True
        else:
            self._is_failing = False

    def export(self) -> None:
        """Set the gauges of the judgements about champions. Judgements about other versions have no series."""
        champions = self._champions()
        for run in self.runs:
            if champions.get(run.model) != run.version:
                continue
            for metric, gauge in self._gauges.items():
                if metric in run.metrics:
                    gauge.set(run.metrics[metric], tags={"model": run.model, "version": run.version})

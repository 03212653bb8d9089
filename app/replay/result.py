"""The result of a replay, and how the MLflow run of the version stores it."""

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from app.replay.score import ReplayScore
from app.serving.shadow import figures as shadow_figures
from app.serving.shadow.messages import DifferentRow, ShadowFigures

PREFIX = "replay"
"""Beginning of the names of the metrics, and of the folder among the artifacts of the run."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """How the answers of a version compare with what was answered in a period."""

    model: str
    version: str
    since: datetime
    """Beginning of the period."""
    until: datetime
    """End of the period: when the replay began."""
    logged_rows: int
    """Rows of the model that the log holds for the period."""
    answered_by: dict[str, int]
    """Rows that were read and that the version can answer, by the number of the version that answered then."""
    columns: list[str]
    """Names of the version's columns."""
    figures: ShadowFigures
    """`champion` holds the numbers of the versions that answered then. There are no latencies."""
    rows: list[DifferentRow]
    """The rows that differ most, at most 20."""
    score: ReplayScore | None
    """None without labels, or if the labels cannot be judged."""
    notes: list[str]
    """What was left out, and why."""

    @property
    def folder(self) -> str:
        """Folder of the documents among the artifacts of the run. Each replay has its own."""
        return f"{PREFIX}/{self.until:%Y%m%dT%H%M%SZ}"

    def summary(self) -> dict[str, Any]:
        """Return all but the figures and the rows, as values of JSON."""
        return {
            "model": self.model,
            "version": self.version,
            "since": self.since.isoformat(timespec="seconds"),
            "until": self.until.isoformat(timespec="seconds"),
            "logged_rows": self.logged_rows,
            "answered_by": self.answered_by,
            "score": None if self.score is None else asdict(self.score),
            "notes": self.notes,
            "folder": self.folder,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the whole replay as values of JSON."""
        rows = [row.model_dump(mode="json") for row in self.rows]
        return self.summary() | {"figures": self.figures.model_dump(mode="json"), "rows": rows}

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the run."""
        figures = shadow_figures.metrics(self.figures, prefix=PREFIX)
        if self.score is None:
            return figures
        scores = {
            "labelled_rows": float(self.score.rows),
            "score": self.score.score.value,
            "answered_score": self.score.answered.value,
            "improvement": self.score.improvement.value,
        }
        return figures | {f"{PREFIX}.{name}": value for name, value in scores.items() if math.isfinite(value)}

    def documents(self) -> dict[str, Any]:
        """Return JSON documents by their path among the artifacts of the run."""
        comparison = shadow_figures.documents(self.folder, self.figures, self.rows, self.columns)
        return comparison | {f"{self.folder}/replay.json": self.summary()}

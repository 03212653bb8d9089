"""What the templates of the page show."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlsplit

from app import names
from app.serving.measures.messages import MeasuresHistory, VersionMeasures
from app.serving.page import charts, history_table
from app.serving.page.charts import Chart
from app.serving.page.drift import DriftStatus
from app.serving.page.history_table import Row
from app.serving.page.rollout_view import RolloutView
from app.serving.page.trainings import Training
from app.serving.schemas import ModelStatus, ModelSummary, VersionSummary
from app.serving.shadow.messages import ShadowStatus

MAX_FIELDS: Final = 40
"""Columns up to which the form has a field for each. For more columns it has one field for the whole row."""

ROLES: Final = (names.CHAMPION, names.CHALLENGER, names.SHADOW, names.PREVIOUS)
"""Aliases of the versions that the form compares, in this order."""

MIB: Final = 2**20

MANY: Final = 1000
"""E-values from this one on are not told apart: the limit is far below."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of the form."""

    name: str
    type: str
    """Type of the column, as `GET /model` names it."""
    is_optional: bool

    @property
    def kind(self) -> str:
        """How a value is entered: `number`, `boolean` or `text`."""
        kinds = {"boolean": "boolean", "string": "text", "datetime": "text"}
        return kinds.get(self.type, "number")


@dataclass(frozen=True, kw_only=True)
class State:
    """The state of the service at one moment."""

    status: ModelStatus
    """The default model and its replicas, without examples."""
    name: str
    """Name of the default model."""
    measures: Sequence[VersionMeasures]
    """What each version of the default model did since the replicas started."""
    rollout: RolloutView | None
    """The running or the last rollout of the default model."""
    drift: DriftStatus
    """The last judgement of drift about the default model, and the last decision about retraining it."""
    shadow: ShadowStatus
    """The running shadow of the default model, without rows."""
    history: MeasuresHistory
    """What each version of the default model did in each half minute of the last hour."""
    history_in_long_slots: MeasuresHistory
    """The same in the slots of the table."""
    models: Sequence[ModelSummary]
    """The default model, and the other models that were used last."""
    model_count: int
    """Number of all models."""
    memory_limit_bytes: int
    """Memory of one replica for all models except the default one."""
    versions: Sequence[VersionSummary]
    """The newest versions, newest first; empty if MLflow has none, or does not answer."""
    trainings: Sequence[Training]
    """The newest trainings, newest first; empty if MLflow has none, or does not answer."""
    trouble: str
    """Why MLflow could not be asked; empty if it answered."""
    load_needs_token: bool
    predict_needs_token: bool

    @property
    def version(self) -> str | None:
        """The version that serves; None before the first load."""
        return self.status.model_info.version if self.status.model_info else None

    @property
    def is_uniform(self) -> bool:
        """Whether all replicas serve the same version."""
        return len({replica.version for replica in self.status.replicas}) <= 1

    @property
    def refusals(self) -> list[str]:
        """The versions that were refused since the last swap, with the reasons, each once."""
        return sorted({replica.refused for replica in self.status.replicas if replica.refused})

    @property
    def health(self) -> str:
        """State in one word: `serving`, `degraded` or `empty`."""
        if self.version is None:
            return "empty"
        return "serving" if self.is_uniform and not self.refusals and not self.trouble else "degraded"

    @property
    def request_count(self) -> int:
        """Requests of all versions since the replicas started."""
        return sum(measures.requests for measures in self.measures)

    @property
    def retraining(self) -> Training | None:
        """The training that the last decision began; None without one among the newest trainings."""
        decision = self.drift.retraining
        return next((one for one in self.trainings if decision and one.judgement == decision.run_id), None)

    @property
    def charts(self) -> list[Chart]:
        """The charts of the last hour."""
        return charts.build(self.history)

    @property
    def history_rows(self) -> list[Row]:
        """The table of the last hour."""
        return history_table.build(self.history_in_long_slots)

    @property
    def fields(self) -> list[Field]:
        """The fields of the form, one for each column."""
        optional = set(self.status.optional_columns)
        return [
            Field(name=name, type=kind, is_optional=name in optional)
            for name, kind in zip(self.status.columns, self.status.column_types, strict=True)
        ]

    @property
    def all_optional(self) -> bool:
        """Whether the model takes missing values in every column."""
        return len(self.status.optional_columns) == len(self.status.columns)

    @property
    def has_field_per_column(self) -> bool:
        """Whether the form has a field for each column."""
        return len(self.status.columns) <= MAX_FIELDS

    @property
    def form_id(self) -> str:
        """Changes when the form does not fit the served model any more."""
        return hashlib.sha256(repr([(f.name, f.kind, f.is_optional) for f in self.fields]).encode()).hexdigest()[:12]

    @property
    def roles(self) -> str:
        """The versions that the form can compare, each once: JSON, a list of pairs of aliases and version."""
        aliases = {version.version: set(version.aliases) for version in self.versions}
        if self.version is not None:
            aliases.setdefault(self.version, set()).add(names.CHAMPION)
        shown = [
            (", ".join(role for role in ROLES if role in held), version)
            for version, held in aliases.items()
            if held.intersection(ROLES)
        ]
        return json.dumps(sorted(shown, key=lambda pair: ROLES.index(pair[0].partition(",")[0])))

    @property
    def mlflow_url(self) -> str:
        """Address of MLflow's page; empty if only pods reach it."""
        uri = urlsplit(self.status.mlflow_uri)
        host = uri.hostname or ""
        if uri.scheme not in {"http", "https"} or host.endswith((".svc", ".cluster.local")):
            return ""
        if "." not in host and host != "localhost":
            return ""
        return f"{uri.scheme}://{uri.netloc.rpartition('@')[2]}/#"

    @property
    def mlflow_model_url(self) -> str:
        """Address of the default model in MLflow; empty if only pods reach it."""
        return self.mlflow_url and f"{self.mlflow_url}/models/{quote(self.name, safe='')}"

    def serves(self, version: VersionSummary) -> bool:
        """Whether a version serves."""
        return version.version == self.version


def _size(size_bytes: int) -> str:
    """Format a number of bytes in mebibytes."""
    return f"{size_bytes / MIB:,.1f} MiB"


def _share(value: float) -> str:
    """Format a share in percent, rounded down, so that only 1 is 100 %."""
    return f"{math.floor(1000 * value) / 10:g} %"


def _ago(moment: datetime | None) -> str:
    """Say how long ago a moment was."""
    if moment is None:
        return "never"
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _duration(milliseconds: float | None) -> str:
    """Format a duration."""
    return "-" if milliseconds is None else f"{milliseconds / 1000:.2f} s"


def _latency(milliseconds: float | None) -> str:
    """Format the time of a request."""
    return "-" if milliseconds is None else f"{charts.number(milliseconds)} ms"


def _span(seconds: float) -> str:
    """Format a span of time."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    if minutes:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{rest} s"


def _evidence(value: float) -> str:
    """Format an e-value."""
    return charts.number(value) if value < MANY else f"over {MANY:,}"


FILTERS: Final[dict[str, Callable[..., Any]]] = {  # Jinja2 calls them with the values of the templates
    "size": _size,
    "share": _share,
    "ago": _ago,
    "duration": _duration,
    "latency": _latency,
    "span": _span,
    "evidence": _evidence,
}

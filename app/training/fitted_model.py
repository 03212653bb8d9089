"""A fitted model with everything that the gate and the registry need, and its form in a folder.

`app.training.registration` registers the model.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import skops.io
from sklearn.base import BaseEstimator

from app.errors import DataError
from app.models.trusted_types import TRUSTED_TYPES
from app.records.reference import ColumnProfile
from app.training.data.stored_rows import read_rows, write_rows
from app.training.evaluation.baseline import Baseline
from app.training.evaluation.gate_decision import GateConfig, HeldOutRows
from app.training.models.parameters import ParameterValues
from app.training.reference import FeatureSample

MODEL_FILE: Final = "model.skops"
ROWS_FILE: Final = "held_out.parquet"
SAMPLE_FILE: Final = "sample.parquet"
RECORD_FILE: Final = "record.json"


@dataclass(frozen=True, kw_only=True)
class FittedModel:
    """A fitted model, and everything that the gate and the registry need."""

    model: BaseEstimator
    """A classifier or regressor, or a pipeline that ends in one."""
    held_out: HeldOutRows
    gate: GateConfig
    promote: bool
    """Whether the alias `champion` moves if the model passes the gate."""
    dataset: str
    """Name of the data set."""
    description: str
    """The model in a few words: the beginning of the version's description."""
    tags: dict[str, str]
    """Tags of the run."""
    params: ParameterValues
    """MLflow parameters of the run: those of the model, and the data set, test size and seed."""
    fit_s: float
    """Duration of the fit, in seconds."""
    sample: FeatureSample | None
    """The training rows for the reference of the version; None if the version is to have no reference."""


def save(fitted: FittedModel, *, run_id: str, folder: Path) -> None:
    """Write a model into an existing folder, with everything that `restore` needs."""
    rows = fitted.held_out.rows
    skops.io.dump(fitted.model, folder / MODEL_FILE)
    write_rows(rows, folder / ROWS_FILE)
    sample = fitted.sample
    if sample is not None:
        pq.write_table(sample.rows, folder / SAMPLE_FILE)
    record = {
        "run_id": run_id,
        "columns": list(rows.features.columns),
        "baseline": asdict(fitted.held_out.baseline),
        "how": fitted.held_out.split_description,
        "terms": asdict(fitted.gate),
        "promote": fitted.promote,
        "dataset": fitted.dataset,
        "description": fitted.description,
        "tags": fitted.tags,
        "params": fitted.params,
        "fit_s": fitted.fit_s,
        "sample": sample
        and {
            "source": sample.source,
            "row_count": sample.row_count,
            "columns": [column.model_dump() for column in sample.columns],
        },
    }
    (folder / RECORD_FILE).write_text(json.dumps(record, default=str))


def restore(folder: Path) -> tuple[FittedModel, str]:
    """Read a model that `save` wrote, without running code from the folder.

    Returns:
        The model, and the id of its run.

    Raises:
        DataError: The folder does not contain a saved model.
    """
    try:
        record = json.loads((folder / RECORD_FILE).read_text())
        rows = read_rows(folder / ROWS_FILE, record["columns"])
        model = skops.io.load(folder / MODEL_FILE, trusted=TRUSTED_TYPES)
        sample = _restore_sample(folder, record.get("sample"))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(
            f"{folder} does not contain a model that training saved: {error}",
            next_step="Give the folder that the training job printed.",
        ) from error
    held_out = HeldOutRows(
        rows=rows,
        baseline=Baseline(**record["baseline"]),
        split_description=record["how"],
    )
    fitted = FittedModel(
        model=model,
        held_out=held_out,
        gate=GateConfig(**record["terms"]),
        promote=record["promote"],
        dataset=record["dataset"],
        description=record["description"],
        tags=record["tags"],
        params=record["params"],
        fit_s=record["fit_s"],
        sample=sample,
    )
    return fitted, record["run_id"]


def _restore_sample(folder: Path, record: dict[str, Any] | None) -> FeatureSample | None:
    if record is None:
        return None
    return FeatureSample(
        source=record["source"],
        row_count=record["row_count"],
        columns=[ColumnProfile(**column) for column in record["columns"]],
        rows=pq.read_table(folder / SAMPLE_FILE),
    )

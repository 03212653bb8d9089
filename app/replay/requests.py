"""The requests of the prediction log: their rows, what was answered then, and the labels that came later."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.models.answers import Answers
from app.models.predictor import Predictor
from app.models.signature import TEXT_TYPES
from app.records import log_files, tables
from app.records.log_files import Label
from app.serving.shadow.comparison import answers_classes
from app.training.evaluation.champion import list_columns


@dataclass(frozen=True, kw_only=True)
class LoggedRequest:
    """A request that the service answered."""

    rows: np.ndarray
    """Shape (rows, columns): the columns of the version that answers again."""
    answers: Answers
    """What the service answered."""
    labels: list[Label]
    """The label of each row; None without one."""


def read_requests(table: pa.Table, labels: Sequence[Label], predictor: Predictor) -> list[LoggedRequest]:
    """Read the requests that one version answered, for another version.

    Args:
        table: The predictions of the version that answered; see `app.records.log_reader`.
        labels: The label of each row; None without one.
        predictor: The version that answers again. `find_mismatch` is empty for it.
    """
    rows, answers = tables.feature_rows(table, predictor.columns), tables.read_answers(table)
    if _classes(table) != predictor.classes:  # the probabilities are those of other classes
        answers = replace(answers, probabilities=None)
    _, request_of_row = np.unique(table[log_files.REQUEST_ID].to_pylist(), return_inverse=True)
    order = np.argsort(request_of_row, kind="stable")
    starts = np.flatnonzero(np.diff(request_of_row[order])) + 1
    return [
        LoggedRequest(
            rows=rows[positions],
            answers=answers.take(positions),
            labels=[labels[position] for position in positions.tolist()],
        )
        for positions in np.split(order, starts)
    ]


def find_mismatch(table: pa.Table, predictor: Predictor) -> str:
    """Say why a version cannot answer logged rows, or why its answers cannot be compared; empty if they can."""
    held = set(tables.feature_names(table))
    missing = [column.name for column in predictor.columns if column.name not in held]
    if missing:
        return f"the log does not hold the columns {list_columns(missing)} for them"
    is_text = {name: pa.types.is_string(table.schema.field(tables.FEATURE_PREFIX + name).type) for name in held}
    wrong = [column.name for column in predictor.columns if is_text[column.name] != (column.type in TEXT_TYPES)]
    if wrong:
        logged, taken = ("text", "numbers") if is_text[wrong[0]] else ("numbers", "text or dates")
        names = list_columns([name for name in wrong if is_text[name] == is_text[wrong[0]]])
        return f"the log holds {logged} in the columns {names}, and the version takes {taken}"
    return _find_other_answers(table, predictor)


def find_labels(table: pa.Table) -> list[bool | str | int | float]:
    """Return the classes that were answered, in the order of the probabilities; without probabilities in any order."""
    if pa.types.is_nested(table.schema.field(tables.PREDICTION).type):
        return []
    return list(dict.fromkeys([*_classes(table), *pc.unique(table[tables.PREDICTION]).to_pylist()]))


def _find_other_answers(table: pa.Table, predictor: Predictor) -> str:
    """Say that classes were answered where the version answers numbers, or the reverse; empty otherwise.

    Whole numbers without probabilities may be either.
    """
    answers = table[tables.PREDICTION]
    if pa.types.is_nested(answers.type):
        answers = pc.list_flatten(answers)
    if not answers_classes(predictor):
        is_class = bool(_classes(table)) or pa.types.is_string(answers.type) or pa.types.is_boolean(answers.type)
        return "they were answered with classes, and the version answers numbers" if is_class else ""
    lists = predictor.output_classes if predictor.labels is None else [predictor.labels.tolist()]
    known = {label for labels in lists for label in labels}
    is_number = pa.types.is_floating(answers.type) and not _classes(table)
    if is_number and known.isdisjoint(pc.unique(answers).to_pylist()):
        return "they were answered with numbers, and the version answers classes"
    return ""


def _classes(table: pa.Table) -> list[bool | str | int | float]:
    """Return the classes of the logged probabilities; empty without probabilities."""
    classes: list[bool | str | int | float] = json.loads(
        (table.schema.metadata or {}).get(log_files.CLASSES_KEY, b"[]")
    )
    return classes

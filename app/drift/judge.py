"""Judges a window against the reference of its version: columns, all columns at once, answers and scores.

Without any drift, the chance of an alarm is at most `ALARM_RATE`: each of the five checks has a part of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from scipy import stats

from app.drift import all_columns, columns
from app.drift.all_columns import Separation
from app.drift.columns import ColumnChange
from app.drift.scores import MIN_HELD_OUT, MIN_LABELS, ScoreChange, estimate_accuracy, realise
from app.records import tables
from app.records.log_files import Label
from app.records.reference import ColumnProfile, Profile, Reference
from app.training.evaluation.predictions import Predictions

ALARM_RATE: Final = 0.05
"""Chance of an alarm without any drift, at most."""

RATES: Final = {
    "columns": 0.02,
    "all columns": 0.01,
    "answers": 0.01,
    "estimated score": 0.005,
    "realised score": 0.005,
}
"""Part of each check in `ALARM_RATE`."""

MIN_ROWS: Final = 50
"""Minimum number of rows of a window. A smaller window is not judged."""

Verdict = Literal["no drift", "drift", "not enough rows"]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What changed in a window."""

    verdict: Verdict
    rows: int
    """Rows of the window."""
    reasons: list[str]
    """Why it is drift; empty without an alarm."""
    notes: list[str]
    """What could not be judged, and why."""
    columns: list[ColumnChange]
    """The columns, those with the smallest p-value first."""
    separation: Separation | None = None
    answers: ColumnChange | None = None
    estimated: ScoreChange | None = None
    realised: ScoreChange | None = None

    @property
    def fallen_scores(self) -> dict[str, ScoreChange]:
        """The scores that raise an alarm, by `estimated score` and `realised score`."""
        return _fallen_scores(self.estimated, self.realised)

    def to_json(self) -> dict[str, Any]:
        """Return the judgement as values of JSON."""
        return asdict(self)


def judge(reference: Reference, window: pa.Table, labels: Sequence[Label]) -> Judgement:
    """Judge a window.

    Args:
        reference: The reference of the version that answered.
        window: The predictions of the window: columns of the prediction log.
        labels: The label of each row; None without one.
    """
    rows = window.num_rows
    if rows < MIN_ROWS:
        note = f"{rows} rows were logged. At least {MIN_ROWS} are needed."
        return Judgement(verdict="not enough rows", rows=rows, reasons=[], notes=[note], columns=[])
    profile, notes = reference.profile, list[str]()
    logged_names = set(tables.feature_names(window))
    logged = [column for column in profile.columns if column.name in logged_names]
    if len(logged) < len(profile.columns):
        notes.append(f"{len(profile.columns) - len(logged)} of {len(profile.columns)} columns are not in the log.")
    changes = _judge_columns(reference, logged, window)
    separation = all_columns.separate(logged, reference.rows, window) if logged else None
    answers = estimated = realised = None
    held_out, answered = (_predictions(table, profile) for table in (reference.held_out, window))
    if held_out is None or answered is None:
        notes.append("Answers and scores are not judged, because the model has several outputs.")
    else:
        answers = _compare_answers(profile, held_out, answered)
        true_labels = _true_labels(reference)
        estimated = _estimate(profile, held_out, true_labels, answered, notes)
        realised = _realise(profile, held_out, true_labels, answered, labels, notes)
    reasons = list(_reasons(changes, separation, answers, estimated, realised))
    return Judgement(
        verdict="drift" if reasons else "no drift",
        rows=rows,
        reasons=reasons,
        notes=notes,
        columns=changes,
        separation=separation,
        answers=answers,
        estimated=estimated,
        realised=realised,
    )


def _reasons(
    changes: Sequence[ColumnChange],
    separation: Separation | None,
    answers: ColumnChange | None,
    estimated: ScoreChange | None,
    realised: ScoreChange | None,
) -> Iterator[str]:
    """Yield a sentence for each alarm."""
    yield from (f"column {change.name!r} changed" for change in changes if change.is_alarming)
    if separation is not None and separation.p_value <= RATES["all columns"]:
        yield f"a classifier tells the rows from the training rows (AUC {separation.auc:.2f})"
    if answers is not None and answers.p_value <= RATES["answers"]:
        yield "the answers changed"
    for name, score in _fallen_scores(estimated, realised).items():
        yield f"the {name} fell: {score.metric} {score.before:.4f} to {score.after:.4f}"


def _fallen_scores(estimated: ScoreChange | None, realised: ScoreChange | None) -> dict[str, ScoreChange]:
    scores = {"estimated score": estimated, "realised score": realised}
    return {name: score for name, score in scores.items() if score is not None and score.p_value <= RATES[name]}


def _judge_columns(reference: Reference, profiles: Sequence[ColumnProfile], window: pa.Table) -> list[ColumnChange]:
    row_count = reference.profile.row_count
    changes = [columns.compare(profile, row_count, reference.rows, window) for profile in profiles]
    changed, alarming = columns.decide(
        [change.p_value for change in changes], [change.influence for change in changes], rate=RATES["columns"]
    )
    judged = [
        replace(change, is_changed=is_changed, is_alarming=is_alarming)
        for change, is_changed, is_alarming in zip(changes, changed, alarming, strict=True)
    ]
    return sorted(judged, key=lambda change: change.p_value)


def _compare_answers(profile: Profile, before: Predictions, after: Predictions) -> ColumnChange:
    """Compare the probabilities, or the answers of a model without any, with those for the held-out rows."""
    if before.probabilities is not None and after.probabilities is not None:
        pairs = list(zip(before.probabilities.T, after.probabilities.T, strict=True))
        pairs = pairs[1:] if len(pairs) == 2 else pairs  # noqa: PLR2004 - the second of two classes says all
    elif profile.task == "regression":
        pairs = [(before.answers.astype(np.float64), after.answers.astype(np.float64))]
    else:
        effect, p_value = columns.compare_texts(before.answers.astype(str), after.answers.astype(str))
        return _answer_change(effect, p_value)
    results = [stats.ks_2samp(*pair, method="asymp") for pair in pairs]
    p_value = min(1.0, min(float(result.pvalue) for result in results) * len(results))
    return _answer_change(max(float(result.statistic) for result in results), p_value)


def _answer_change(effect: float, p_value: float) -> ColumnChange:
    return ColumnChange(
        name=tables.PREDICTION,
        effect=effect,
        shift=None,
        missing=0.0,
        missing_before=0.0,
        unseen=None,
        influence=None,
        p_value=p_value,
    )


def _true_labels(reference: Reference) -> np.ndarray:
    """Return the labels of the held-out rows. The numbers of a regression are float64, also if all are whole."""
    labels = np.array(reference.held_out[tables.LABEL].to_pylist())
    return labels.astype(np.float64) if reference.profile.task == "regression" else labels


def _estimate(
    profile: Profile, held_out: Predictions, true_labels: np.ndarray, answered: Predictions, notes: list[str]
) -> ScoreChange | None:
    if profile.task == "regression":
        return None
    estimated = estimate_accuracy(held_out, true_labels, answered)
    if estimated is None:
        notes.append(
            f"The score is not estimated. An estimate needs probabilities, and at least {MIN_HELD_OUT} held-out rows "
            "with right and wrong answers among them."
        )
    return estimated


def _realise(
    profile: Profile,
    held_out: Predictions,
    true_labels: np.ndarray,
    answered: Predictions,
    labels: Sequence[Label],
    notes: list[str],
) -> ScoreChange | None:
    is_usable = np.array([_fits(label, true_labels) for label in labels], dtype=bool)
    unfit = sum(label is not None for label in labels) - int(is_usable.sum())
    if unfit:
        notes.append(f"{unfit} labels are of another type than those of the training, and are left out.")
    usable = [label for label, is_used in zip(labels, is_usable, strict=True) if is_used]
    if len(usable) < MIN_LABELS:
        notes.append(
            f"The realised score is not judged: {len(usable)} labels can be used, and at least {MIN_LABELS} are needed."
        )
        return None
    window_labels = np.array(usable, dtype=str if true_labels.dtype.kind == "U" else true_labels.dtype)
    realised = realise(profile.metric, held_out, true_labels, _take(answered, is_usable), window_labels)
    if realised is None:
        notes.append(f"The realised score is not judged: the metric {profile.metric} is not defined for these labels.")
    return realised


def _predictions(table: pa.Table, profile: Profile) -> Predictions | None:
    """Return the answers of a table; None for a model with several outputs."""
    if pa.types.is_nested(table.schema.field(tables.PREDICTION).type):
        return None
    answers = np.array(table[tables.PREDICTION].to_pylist())
    lists = table[tables.PROBABILITIES].to_pylist()
    if not profile.classes or any(entry is None or len(entry) != len(profile.classes) for entry in lists):
        return Predictions(answers=answers)
    return Predictions(answers=answers, probabilities=np.array(lists), classes=np.array(profile.classes))


def _take(predicted: Predictions, is_taken: np.ndarray) -> Predictions:
    probabilities = None if predicted.probabilities is None else predicted.probabilities[is_taken]
    return Predictions(answers=predicted.answers[is_taken], probabilities=probabilities, classes=predicted.classes)


def _fits(label: Label, true_labels: np.ndarray) -> bool:
    """Whether a label is of the type of the true labels: no number among texts, and no fraction among integers."""
    if label is None or isinstance(label, str) != (true_labels.dtype.kind == "U"):
        return False
    try:
        return isinstance(label, str) or bool(true_labels.dtype.type(label) == label)
    except OverflowError:
        return False

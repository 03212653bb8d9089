"""How near the estimated score without labels comes to the realised one, on real rows that shift with a real column."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from palmerpenguins import load_penguins
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier

from app.drift.judge import judge
from app.models.answers import Answers
from app.records import tables
from app.training import reference
from app.training.data.dataset import Rows
from app.training.evaluation.gate_decision import GateConfig
from app.training.evaluation.predictions import predict
from app.training.reference import FeatureSample
from tests.support.json_object import JsonObject

REPEATS: Final = 30
"""Divisions of each data set into training, held-out and window rows."""

PREFERENCES: Final = {"small values": -6.0, "all values": 0.0, "large values": 6.0}
"""How a window prefers rows: a row is drawn in proportion to exp(preference * rank), the rank from 0 to 1. The training
rows and the held-out rows are drawn like the first one."""

TRAIN_SHARE: Final = 0.2
HELD_OUT_SHARE: Final = 0.1
WINDOW_SHARE: Final = 0.18
"""Shares of all rows. Half of all rows are for the training and the held-out rows, the other half for the window."""

INTRODUCTION: Final = f"""\
A forest is trained, and held-out rows are drawn, mostly where a column is small. The windows come from other rows:
mostly small values of the column, all values, or mostly large ones. Means over {REPEATS} divisions of the data. *error*
is the mean distance of the estimated accuracy from the realised one; *error of held-out* that of the held-out accuracy,
the guess without an estimate. *inside*: windows whose realised accuracy is in the 95 % interval of the estimate, which
does not count the chance in the few labels of the window."""


@dataclass(frozen=True)
class DataSet:
    """Real rows, and the column by which they shift."""

    name: str
    features: pd.DataFrame
    target: pd.Series
    shifted_by: str
    order: pd.Series
    """Shape (rows,): the values of that column."""


def data_sets() -> Iterator[DataSet]:
    """Yield the data sets that the packages of the tests ship."""
    cancer = load_breast_cancer(as_frame=True)
    yield DataSet("breast cancer", cancer.data, cancer.target, "mean area", cancer.data["mean area"])
    digits = load_digits(as_frame=True)
    yield DataSet("digits", digits.data, digits.target, "place in the file", pd.Series(range(len(digits.data))))
    penguins = load_penguins().dropna().reset_index(drop=True)
    lengths = penguins[["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]]
    yield DataSet("penguins: sex", lengths, penguins["sex"], "flipper length", penguins["flipper_length_mm"])


def measure() -> list[JsonObject]:
    """Judge windows of every data set, and return one entry for each kind of window."""
    return [
        summarise(data, kind, [judge_window(data, preference, seed) for seed in range(REPEATS)])
        for data in data_sets()
        for kind, preference in PREFERENCES.items()
    ]


def judge_window(data: DataSet, preference: float, seed: int) -> JsonObject | None:
    """Train, judge one window, and return the scores; None if the held-out rows allow no estimate."""
    generator = np.random.default_rng(seed)
    rank = stats.rankdata(data.order) / len(data.order)
    for_training, for_window = np.array_split(generator.permutation(len(rank)), 2)
    trained = _draw(for_training, rank, PREFERENCES["small values"], TRAIN_SHARE + HELD_OUT_SHARE, generator)
    trained, held_out = np.split(trained, [round(len(rank) * TRAIN_SHARE)])
    window = _draw(for_window, rank, preference, WINDOW_SHARE, generator)

    model = RandomForestClassifier(100, random_state=seed).fit(data.features.iloc[trained], data.target.iloc[trained])
    rows = Rows(features=data.features.iloc[held_out], target=data.target.iloc[held_out])
    built = reference.build(
        FeatureSample.of(data.features.iloc[trained], source="training"),
        model,
        predict(model, rows.features),
        rows,
        GateConfig(metric="accuracy", margin=0.0, force=False),
    )
    predicted = predict(model, data.features.iloc[window])
    answers = tables.answer_columns(Answers(predictions=predicted.answers, probabilities=predicted.probabilities))
    table = FeatureSample.of(data.features.iloc[window], source="training").rows
    for name, column in answers.items():
        table = table.append_column(name, column)
    judgement = judge(built, table, data.target.iloc[window].tolist())
    if judgement.estimated is None or judgement.realised is None:
        return None
    return {
        "held_out": judgement.estimated.before,
        "estimated": judgement.estimated.after,
        "low": judgement.estimated.low,
        "high": judgement.estimated.high,
        "realised": judgement.realised.after,
    }


def summarise(data: DataSet, kind: str, judged: list[JsonObject | None]) -> JsonObject:
    """Return means over the windows of one kind."""
    scores = pd.DataFrame([scores for scores in judged if scores is not None])
    error, naive = scores["estimated"] - scores["realised"], scores["held_out"] - scores["realised"]
    return {
        "data": data.name,
        "shifted_by": data.shifted_by,
        "window": kind,
        "windows": len(scores),
        "window_rows": round(len(data.order) * WINDOW_SHARE),
        "held_out": scores["held_out"].mean(),
        "estimated": scores["estimated"].mean(),
        "realised": scores["realised"].mean(),
        "mean_error": error.abs().mean(),
        "mean_error_of_held_out": naive.abs().mean(),
        "inside": scores["realised"].between(scores["low"], scores["high"]).mean(),
    }


def describe(entries: list[JsonObject]) -> list[str]:
    """Return the lines of the report."""
    return [
        "## The estimated score on real rows",
        "",
        INTRODUCTION,
        "",
        "| data, shifted by | window | rows | held-out | estimated | realised | error | error of held-out | inside |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {entry['data']}, {entry['shifted_by']} | {entry['window']} | {entry['window_rows']} "
            f"| {entry['held_out']:.3f} | {entry['estimated']:.3f} | {entry['realised']:.3f} "
            f"| {entry['mean_error']:.3f} | {entry['mean_error_of_held_out']:.3f} | {entry['inside']:.0%} |"
            for entry in entries
        ),
        "",
    ]


def _draw(
    positions: np.ndarray, rank: np.ndarray, preference: float, share: float, generator: np.random.Generator
) -> np.ndarray:
    """Draw a share of all rows from some positions, without replacement."""
    weights = np.exp(preference * rank[positions])
    size = round(len(rank) * share)
    drawn: np.ndarray = generator.choice(positions, size=size, replace=False, p=weights / weights.sum())
    return drawn

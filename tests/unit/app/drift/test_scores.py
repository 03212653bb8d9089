"""Scores of a window whose labels came."""

import numpy as np
import pandas as pd

from app.drift.scores import realise
from app.training.data.dataset import Rows
from app.training.evaluation.bootstrap import Resampling
from app.training.evaluation.metrics import find_metric
from app.training.evaluation.predictions import Predictions
from app.training.evaluation.scores import weighted_metric


def test_few_held_out_rows_that_all_are_right_raise_no_alarm() -> None:
    held_out = np.repeat(["no", "yes"], 15)
    labels = np.repeat(["no", "yes"], 200)
    wrong = np.where(np.arange(400) % 25 == 0, np.where(labels == "no", "yes", "no"), labels)

    realised = realise("accuracy", Predictions(answers=held_out), held_out, Predictions(answers=wrong), labels)

    assert realised is not None
    assert (realised.before, realised.after) == (1.0, 0.96)
    assert 0.2 < realised.p_value < 0.4  # the binomial chance that 30 such rows all are right is 0.96 ** 30 = 0.29


def test_the_interval_of_a_realised_score_is_that_of_the_gate_for_a_rare_class() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(["rare", "often"], [4, 96])
    answers = Predictions(answers=np.where(generator.random(100) < 0.7, labels, labels[::-1]))
    metric = find_metric("balanced_accuracy")

    realised = realise("balanced_accuracy", answers, labels, answers, labels)

    rows = Rows(features=pd.DataFrame(index=range(100)), target=pd.Series(labels))
    interval = Resampling.of(rows, metric).interval(weighted_metric("balanced_accuracy", answers, labels))
    assert realised is not None
    assert (realised.low, realised.high) == interval

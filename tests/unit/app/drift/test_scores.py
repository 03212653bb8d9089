"""Scores of a window whose labels came."""

import numpy as np
import pandas as pd

from app.drift.scores import realise
from app.training.data.dataset import Rows
from app.training.evaluation.bootstrap import Resampling
from app.training.evaluation.metrics import find_metric
from app.training.evaluation.predictions import Predictions
from app.training.evaluation.scores import weighted_metric


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

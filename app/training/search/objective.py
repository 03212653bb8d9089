"""One trial of a search: parameters scored by cross-validation.

Workers import this module and no more, because each does it anew. What is tried is decided in
`app.training.search.tuner`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from ray import tune
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold

from app.training.evaluation.resampled_metrics import Answers, weighted


def score_folds(
    config: dict[str, Any],
    *,
    rows: np.ndarray,
    labels: np.ndarray,
    fixed: dict[str, Any],
    metric: str,
    folds: int,
    seed: int,
    report: Callable[[dict[str, float]], object] = tune.report,
) -> None:
    """One trial: fit on all folds but one and score that one, in turn; report the mean after each.

    Args:
        config: The parameters that are tried.
        rows: Shape (rows, columns), float32.
        labels: Shape (rows,), positions of the classes.
        fixed: The other parameters.
        metric: What the score is.
        folds: Parts of the rows, the same ones for every trial.
        seed: Of folds and forests.
        report: Takes each mean.
    """
    scores = []
    for fitted, scored in StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, labels):
        model = RandomForestClassifier(**fixed | config, random_state=seed, n_jobs=1).fit(rows[fitted], labels[fitted])
        answers = Answers(classes=model.classes_, probabilities=model.predict_proba(rows[scored]))
        scores.append(weighted(metric, answers, labels[scored])(np.ones(len(scored))))
        report({"score": float(np.mean(scores))})

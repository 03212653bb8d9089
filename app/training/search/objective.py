"""The objective of a search: the cross-validated score of a set of parameters.

Each Ray worker imports this module, so it imports little. `app.training.search.tuner` chooses the parameters.
"""

from collections.abc import Callable

import numpy as np
from ray import tune
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold

from app.training.evaluation.predictions import predict
from app.training.evaluation.scores import score
from app.training.hyperparameters import ParameterValues


def score_folds(
    config: ParameterValues,
    *,
    rows: np.ndarray,
    labels: np.ndarray,
    fixed_parameters: ParameterValues,
    metric: str,
    folds: int,
    seed: int,
    report: Callable[[dict[str, float]], object] = tune.report,
) -> None:
    """Cross-validate one trial, and report the mean score after each fold.

    Args:
        config: Parameters of this trial.
        rows: Shape (rows, columns), float32.
        labels: Shape (rows,), class indices.
        fixed_parameters: Parameters that are the same in every trial.
        metric: Metric of the score.
        folds: Number of folds; every trial has the same folds.
        seed: Seed of the folds and of the forests.
        report: Called with the mean score as `{"score": mean}`.
    """
    scores = []
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, labels):
        model = RandomForestClassifier(**fixed_parameters | config, random_state=seed, n_jobs=1)
        model.fit(rows[train], labels[train])
        scores.append(score(metric, predict(model, rows[test]), labels[test]))
        report({"score": float(np.mean(scores))})

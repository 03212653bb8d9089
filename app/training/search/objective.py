"""The objective of a search: the cross-validated score of a set of parameters.

Each Ray worker imports this module, so it imports little. `app.training.search.tuner` chooses the parameters.
"""

from collections.abc import Callable, Sequence

import numpy as np
from ray import tune

from app.training.data.dataset import Rows
from app.training.evaluation.predictions import predict
from app.training.evaluation.scores import score
from app.training.models.definition import ModelDefinition
from app.training.models.parameters import ParameterValues


def score_folds(
    config: ParameterValues,
    *,
    definition: ModelDefinition,
    rows: Rows,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    fixed_parameters: ParameterValues,
    metric: str,
    seed: int,
    report: Callable[[dict[str, float]], object] = tune.report,
) -> None:
    """Cross-validate one trial, and report the mean score after each fold.

    Args:
        config: Parameters of this trial.
        definition: The model.
        rows: The training rows.
        folds: Positions of the rows to fit on and of the rows to score, for each fold; the same in every trial.
        fixed_parameters: Parameters that are the same in every trial.
        metric: Metric of the score.
        seed: Seed of the models.
        report: Called with the mean score as `{"score": mean}`.
    """
    scores = []
    for train, test in folds:
        model = definition.fit(rows.take(train), fixed_parameters | config, seed=seed, n_jobs=1)
        held_out = rows.take(test)
        weights = None if held_out.weights is None else held_out.weights.to_numpy()
        scores.append(score(metric, predict(model, held_out.features), held_out.target.to_numpy(), weights))
        report({"score": float(np.mean(scores))})

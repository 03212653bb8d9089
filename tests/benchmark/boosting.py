"""The models of boosting that `tests.benchmark.predictor` measures: 100 rounds, with 31 leaves a tree if possible."""

from collections.abc import Iterator
from typing import Final

import lightgbm
import numpy as np
import xgboost
from sklearn.base import BaseEstimator
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, HistGradientBoostingRegressor

from tests.benchmark import forest

ROUNDS: Final = 100
LEAVES: Final = 31
TRAINING_ROWS: Final = 5000
PARITY_ROWS: Final = 20_000
ROW_COUNTS: Final = (1, 10, 100, 1000)

GOAL: Final = 200
"""Goal for the ratio of the times for one row of `HistGradientBoostingClassifier`."""

CLASSES: Final[dict[str, BaseEstimator]] = {
    "HistGradientBoostingClassifier": HistGradientBoostingClassifier(max_iter=ROUNDS, random_state=0),
    "HistGradientBoostingRegressor": HistGradientBoostingRegressor(max_iter=ROUNDS, random_state=0),
    "GradientBoostingClassifier": GradientBoostingClassifier(n_estimators=ROUNDS, random_state=0),
    "XGBClassifier": xgboost.XGBClassifier(n_estimators=ROUNDS, max_leaves=LEAVES, grow_policy="lossguide", n_jobs=1),
    "LGBMClassifier": lightgbm.LGBMClassifier(n_estimators=ROUNDS, num_leaves=LEAVES, n_jobs=1, verbose=-1),
}


def fitted_models() -> Iterator[tuple[str, BaseEstimator]]:
    """Fit each model on arrays without column names."""
    values, labels = forest.make_rows()
    rows, classes = values.to_numpy()[:TRAINING_ROWS], (labels == "low").astype(int).to_numpy()[:TRAINING_ROWS]
    for name, model in CLASSES.items():
        target = classes + rows[:, 0] if name.endswith("Regressor") else classes
        yield name, model.fit(rows, target)


def mixed_rows(count: int, *, seed: int) -> np.ndarray:
    """Generate rows of which each value is that of another training row, half of them moved by one bit."""
    random = np.random.default_rng(seed)
    values = forest.make_rows()[0].to_numpy()[:TRAINING_ROWS]
    rows = random.permuted(np.resize(values, (count, values.shape[1])), axis=0)
    half = count // 2
    rows[:half] = np.nextafter(rows[:half], random.choice([-np.inf, np.inf], (half, rows.shape[1])))
    return rows

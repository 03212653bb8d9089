"""Registers a forest of more than a million nodes: `python -m tests.support.large_forest URL_OF_MLFLOW`.

It runs in a separate process, so that warnings of libraries do not fail a test, and prints the number of the version.
"""

import sys

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor

from tests.support import fleet_models
from tests.support.fleet_models import COLUMNS
from tests.support.module_process import run_module

TREES = 30
ROWS = 20_000
"""Rows of noise: each tree has about two nodes for each of them."""


def register_in_subprocess(url: str) -> str:
    """Register the forest, and return the number of its version. Its file has 83 MiB."""
    return run_module(__name__, url)


def main() -> None:
    """Fit the forest and register it."""
    draw = np.random.default_rng(0)
    rows = pd.DataFrame(draw.normal(size=(ROWS, len(COLUMNS))), columns=list(COLUMNS))
    noise = pd.Series(draw.normal(size=ROWS))
    model = ExtraTreesRegressor(TREES, random_state=0).fit(rows, noise)
    print(fleet_models.register(sys.argv[1], model, rows, noise))  # noqa: T201 - read by `register_in_subprocess`


if __name__ == "__main__":
    main()

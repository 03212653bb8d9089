"""The model of this project.

`manta train --model model.py:build` calls `build`, fits the result and registers it. Each keyword of `build` is a
parameter: `--set max_leaf_nodes=15` sets it, and `--trials 20` searches the values in `SPACE`.
"""

from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

SPACE = {
    "learning_rate": {"low": 0.02, "high": 0.3, "log": True},
    "max_leaf_nodes": {"low": 4, "high": 31},
}


def build(learning_rate: float = 0.05, max_leaf_nodes: int = 8, min_samples_leaf: int = 20) -> Pipeline:
    """Return an unfitted pipeline that takes text, numbers and missing values."""
    text = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    columns = ColumnTransformer(
        [
            ("numbers", "passthrough", make_column_selector(dtype_include="number")),
            ("text", text, make_column_selector(dtype_exclude="number")),
        ]
    )
    regressor = HistGradientBoostingRegressor(
        learning_rate=learning_rate,
        max_leaf_nodes=max_leaf_nodes,
        min_samples_leaf=min_samples_leaf,
        random_state=0,
    )
    return make_pipeline(columns, regressor)

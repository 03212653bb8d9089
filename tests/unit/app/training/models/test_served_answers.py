"""A model that could not answer the requests of the service is refused before it is fitted to all rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes

from app.training.data.dataset import Rows
from app.training.models import trial_fit
from app.training.models.code_errors import ModelCodeError
from app.training.models.model_file import FileDefinition

ENCODED = """
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

def build():
    columns = ColumnTransformer([("encoded", OneHotEncoder(), ["smoker"])], remainder="drop")
    return make_pipeline(columns, Ridge())
"""
FEATURES, TARGET = load_diabetes(return_X_y=True, as_frame=True)
IS_SMOKER = pd.Series(np.arange(len(FEATURES)) % 3).map({0: True, 1: False})


def check(folder: Path, features: pd.DataFrame) -> None:
    file = folder / f"{folder.name}.py"  # a module is imported once, by its name
    file.write_text(ENCODED)
    trial_fit.check(FileDefinition(file, "build"), Rows(features=features, target=TARGET), {}, seed=0)


@pytest.mark.parametrize("dtype", ["boolean", "category", "str"])
def test_a_column_with_gaps_that_the_service_receives_as_the_model_knows_it_is_accepted(
    tmp_path: Path, dtype: str
) -> None:
    smoker = IS_SMOKER.map({True: "yes", False: "no"}) if dtype != "boolean" else IS_SMOKER

    check(tmp_path, FEATURES.assign(smoker=smoker.astype(dtype)))


def test_objects_that_a_request_cannot_hold_are_refused_with_the_column(tmp_path: Path) -> None:
    features = FEATURES.assign(smoker=IS_SMOKER.astype(object))

    with pytest.raises(
        ModelCodeError, match=r"as the service receives them: .*smoker \(object, in a request float64\)"
    ):
        check(tmp_path, features)


def test_a_column_that_no_request_can_send_is_refused_even_if_the_model_drops_it(tmp_path: Path) -> None:
    waits = pd.to_timedelta(np.arange(len(FEATURES)), unit="h")
    features = FEATURES.assign(smoker=IS_SMOKER.astype("boolean"), wait=waits)

    with pytest.raises(ModelCodeError, match=r"'wait' holds values of the type timedelta.*Convert the column"):
        check(tmp_path, features)

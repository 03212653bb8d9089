"""A registry that has one version, the champion, for tests of the promotion gate."""

import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.types import DataType
from sklearn.base import BaseEstimator

from app.errors import ModelRefusedError
from app.models.artifact import Artifact
from app.models.registry import HELD_OUT_TAG
from app.models.signature import Column, Columns

SPLIT = "0.2 of the rows, seed 42"
CHAMPION = ModelVersion(name="m", version="3", creation_timestamp=0)


class FakeRegistry:
    """A registry whose champion is a fitted model.

    Args:
        model: The fitted model.
        features: Rows that the model was fitted on; they give the columns and the input example.
        split: The split that the model was trained with.
        refusal: Why the model cannot be loaded; empty if it can.
    """

    def __init__(self, model: BaseEstimator, features: pd.DataFrame, *, split: str = SPLIT, refusal: str = "") -> None:
        self.model = model
        self.features = features
        self.split = split
        self.refusal = refusal

    def fetch(self, _version: ModelVersion) -> Artifact:
        if self.refusal:
            raise ModelRefusedError(self.refusal)
        types = {
            name: DataType.double if pd.api.types.is_numeric_dtype(dtype) else DataType.string
            for name, dtype in self.features.dtypes.items()
        }
        return Artifact(
            model=self.model,
            columns=Columns(Column(name=str(name), type=kind) for name, kind in types.items()),
            example=self.features.head(2),
            example_predictions=None,
            example_probabilities=None,
            example_labels=[],
        )

    def tags(self, _version: ModelVersion) -> dict[str, str]:
        return {HELD_OUT_TAG: self.split}

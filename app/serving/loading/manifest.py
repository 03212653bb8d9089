"""The description of a prepared model: its version, columns, classes and example, as JSON."""

import json
import math
from typing import Final, Literal, Self

import numpy as np
from mlflow.entities.model_registry import ModelVersion
from mlflow.types import DataType
from pydantic import BaseModel, ConfigDict, Field
from sklearn.base import BaseEstimator

from app import names
from app.models.answers import Answers
from app.models.artifact import Artifact
from app.models.estimator import Estimator
from app.models.fitted_release import installed_minor
from app.models.formats.stored_model import SKOPS, Storage
from app.models.frames import to_frame
from app.models.signature import Column, Columns
from app.models.trees.flat_model import FlatModel, Link
from app.serving.schemas import Example, SelfTest

FORMAT: Final = 3
"""Version of the format of prepared files."""

MAX_EXAMPLE_ROWS: Final = 100
"""Rows of the input example that are kept. `GET /model` shows them."""

LABEL_KINDS: Final = "biufUO"
"""Kinds of numpy dtypes of class labels. JSON holds their values exactly; objects must be text."""

Label = bool | int | float | str
Value = bool | float | str | None


class TreeSums(BaseModel):
    """How the sums of the trees' leaves become answers; see `FlatModel`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    link: Link
    divisor: int = Field(ge=1, le=2**31)
    takes_missing: bool

    @classmethod
    def describe(cls, flat: FlatModel) -> Self:
        """Describe a model of trees."""
        return cls(link=flat.link, divisor=flat.divisor, takes_missing=flat.takes_missing)


class Manifest(BaseModel):
    """The description of a prepared model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[3] = FORMAT
    scikit_learn: str
    """Minor version of scikit-learn that the model was fitted with, such as `1.9`."""
    name: str = Field(pattern=names.MODEL_NAME_PATTERN)
    version: str = Field(pattern=r"^[0-9]{1,18}$")
    creation_timestamp: int
    """Milliseconds since 1970, as MLflow gives it."""
    description: str | None
    stage: str | None
    trees: TreeSums | None
    """What becomes of the trees' sums if flat arrays hold the model; None if the version's own file holds it."""
    storage_format: str = SKOPS
    """Format of the version's own file."""
    storage_details: dict[str, str] = {}
    """See `Storage.details`."""
    columns: list[tuple[str, str, bool]] = Field(min_length=1)
    """Name and type of each column, and whether it is optional."""
    gives_probabilities: bool
    label_dtype: str | None
    """Data type of the class labels, as numpy writes it; None for a model without classes."""
    labels: list[Label]
    output_classes: list[list[Label]]
    """Class labels of each output of a classifier with several outputs; empty for any other model."""
    answers: list[str]
    """Names of the answers that the model gives."""
    self_test: SelfTest
    """How the version was tried when it was loaded."""
    features: list[list[Value]] = Field(max_length=MAX_EXAMPLE_ROWS)
    """Rows of the input example; None for a number that is not finite."""
    true_labels: list[Label | list[Label]]
    """The true labels of the rows."""
    predictions: list[Label | list[Label]]
    """The predictions of scikit-learn for the rows."""
    probabilities: list[list[float]] | None

    @classmethod
    def describe(
        cls, version: ModelVersion, artifact: Artifact, estimator: Estimator, *, flat: FlatModel | None
    ) -> Self:
        """Describe a model that was proven to predict."""
        has_labels = estimator.has_classes and not estimator.output_classes
        classes = estimator.model.classes_ if has_labels else None
        rows = artifact.example_rows[:MAX_EXAMPLE_ROWS]
        answers = estimator.predict(rows) if len(rows) else None
        probabilities = None if answers is None else answers.probabilities
        return cls(
            scikit_learn=installed_minor(),
            name=version.name,
            version=str(version.version),
            creation_timestamp=version.creation_timestamp,
            description=version.description,
            stage=version.current_stage,
            trees=None if flat is None else TreeSums.describe(flat),
            storage_format=artifact.storage.format,
            storage_details=dict(artifact.storage.details),
            columns=[(column.name, column.type.name, column.is_optional) for column in estimator.columns],
            gives_probabilities=estimator.gives_probabilities,
            label_dtype=None if classes is None else classes.dtype.str,
            labels=[] if classes is None else classes.tolist(),
            output_classes=estimator.output_classes,
            answers=list(estimator.named_answers(answers)),
            self_test=_self_test(artifact),
            features=[[_finite(value) for value in row] for row in rows.tolist()],
            true_labels=artifact.example_labels[:MAX_EXAMPLE_ROWS],
            predictions=[] if answers is None else answers.predictions.tolist(),
            probabilities=None if probabilities is None else probabilities.tolist(),
        )

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Read a description.

        Raises:
            ValueError: It is damaged, has another format, or describes a model of another minor scikit-learn version.
        """
        try:
            manifest = cls.model_validate(json.loads(content))
        except RecursionError as error:
            raise ValueError("its description is nested too deeply") from error
        if manifest.scikit_learn != installed_minor():
            raise ValueError(f"it is a model of scikit-learn {manifest.scikit_learn}, not {installed_minor()}")
        return manifest

    def to_json(self) -> str:
        """Write the description so that `from_json` reads the same floats."""
        return json.dumps(self.model_dump())

    def model_version(self) -> ModelVersion:
        """Build MLflow's object of the version."""
        return ModelVersion(
            name=self.name,
            version=self.version,
            creation_timestamp=self.creation_timestamp,
            description=self.description,
            current_stage=self.stage,
        )

    def model_columns(self) -> Columns:
        """Build the columns.

        Raises:
            ValueError: A type is unknown.
        """
        types = DataType.__members__
        if unknown := [kind for _, kind, _ in self.columns if kind not in types]:
            raise ValueError(f"its columns have unknown types: {', '.join(unknown)}")
        return Columns(
            Column(name=name, type=types[kind], is_optional=is_optional) for name, kind, is_optional in self.columns
        )

    def storage(self) -> Storage:
        """Build the description of the version's own file."""
        return Storage(format=self.storage_format, details=self.storage_details)

    def class_labels(self) -> np.ndarray | None:
        """Build the class labels, in the order of the probabilities; None for a model without classes.

        Raises:
            ValueError: The labels do not have their data type.
            TypeError: The data type is unknown.
        """
        if self.label_dtype is None:
            return None
        dtype = np.dtype(self.label_dtype)
        if dtype.kind not in LABEL_KINDS:
            raise ValueError(f"its class labels have the data type {dtype}")
        if dtype.kind == "O" and not all(isinstance(value, str) for value in self.labels):
            raise ValueError("its class labels are not all text")
        labels = np.array(self.labels, dtype=str if dtype.kind == "U" else dtype)
        if labels.ndim != 1 or not len(labels) or labels.tolist() != self.labels:
            raise ValueError(f"its class labels are not of the data type {dtype}")
        return labels

    def example(self) -> Example:
        """Build the example of the HTTP API."""
        return Example(features=self.features, labels=self.true_labels)

    def example_rows(self) -> np.ndarray:
        """Shape (rows, columns): the example; dtype object if a column holds text, otherwise float64.

        Raises:
            ValueError: A row has another number of values.
        """
        holds_text = self.model_columns().hold_text
        rows = [[math.nan if value is None and not holds_text else value for value in row] for row in self.features]
        return np.array(rows, dtype=object if holds_text else np.float64).reshape(len(rows), len(self.columns))

    def artifact(self, model: BaseEstimator) -> Artifact:
        """Build what the checks of a stored model need.

        Raises:
            ValueError: The description does not fit together.
        """
        columns = self.model_columns()
        return Artifact(
            model=model,
            columns=columns,
            example=to_frame(self.example_rows(), columns),
            example_predictions=self.predictions,
            example_probabilities=None if self.probabilities is None else np.array(self.probabilities),
            example_labels=self.true_labels,
            storage=self.storage(),
        )

    def example_answers(self) -> Answers:
        """The answers of scikit-learn for the example."""
        probabilities = self.probabilities
        return Answers(
            predictions=np.array(self.predictions),
            probabilities=None if probabilities is None else np.array(probabilities, dtype=np.float64),
        )


def _self_test(artifact: Artifact) -> SelfTest:
    if not len(artifact.example):
        return "no example"
    return "not compared" if artifact.example_predictions is None else "passed"


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""Describes a version that serves, for the messages of the HTTP API."""

from typing import Any, Final, TypeAlias

from mlflow.entities.model_registry import ModelVersion

from app.serving import schemas
from app.serving.loading.served_model import ServedModel
from app.serving.schemas import ModelInfo, ModelStatus, ReplicaInfo

Description: TypeAlias = dict[str, Any]
"""The fields of `ModelStatus` that a version decides. The type of a value depends on its key."""

NOT_LOADED: Final[Description] = {
    "model_loaded": False,
    "model_info": None,
    "columns": [],
    "column_types": [],
    "classes": [],
    "output_classes": [],
    "optional_columns": [],
    "answers": [],
    "self_test": None,
    "example": None,
}
"""The description if no version is loaded."""


def model_info(version: ModelVersion) -> ModelInfo:
    """Describe a version as MLflow does."""
    return ModelInfo(
        name=version.name,
        version=str(version.version),
        stage=version.current_stage or "None",
        description=version.description or "",
        creation_timestamp=version.creation_timestamp,
    )


def describe(served: ServedModel) -> Description:
    """Describe a version that serves."""
    predictor = served.predictor
    return {
        "model_loaded": True,
        "model_info": model_info(served.version),
        "columns": predictor.columns.names,
        "column_types": [column.type.name for column in predictor.columns],
        "classes": predictor.classes,
        "output_classes": predictor.output_classes,
        "optional_columns": [column.name for column in predictor.columns if column.is_optional],
        "answers": list(predictor.answers),
        "self_test": served.self_test,
        "example": served.example,
    }


def without_example(description: Description) -> Description:
    """Leave out the rows of the input example."""
    return description | {"example": None}


def status(description: Description, replicas: list[ReplicaInfo], *, mlflow_uri: str) -> ModelStatus:
    """Build the message.

    Args:
        description: The version.
        replicas: What each replica serves.
        mlflow_uri: URL of MLflow.
    """
    return ModelStatus(**description, mlflow_uri=mlflow_uri, timestamp=schemas.now(), replicas=replicas)

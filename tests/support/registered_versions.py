"""Takes registered versions away, so that a test can begin with a model of other data."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlflow import MlflowClient

from app import names


@contextmanager
def no_champion(registry: MlflowClient, load: Callable[[str], object], *, model: str) -> Iterator[None]:
    """Take the alias `champion` away while the block runs; then serve its version again, and delete newer versions.

    Args:
        registry: Client of the platform's MLflow.
        load: Loads a version of the model.
        model: Registered model of the platform.
    """
    version = str(registry.get_model_version_by_alias(model, names.CHAMPION).version)
    before = {str(other.version) for other in registry.search_model_versions(f"name='{model}'")}
    registry.delete_registered_model_alias(model, names.CHAMPION)
    try:
        yield
    finally:
        load(version)
        for other in registry.search_model_versions(f"name='{model}'"):
            if str(other.version) not in before:
                registry.delete_model_version(model, str(other.version))

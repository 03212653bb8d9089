"""The origin of a model: commit, options and package versions as tags of the run."""

import logging
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Final

from app.models.registry import Registry
from app.settings import Settings
from app.training import run_tags
from app.training.data.dataset import Dataset
from app.training.git import git_commit
from app.training.models.location import split_location
from app.training.options import TrainOptions

log = logging.getLogger("manta.train")

PACKAGES: Final = ("mlflow", "numpy", "pandas", "ray", "scikit-learn", "skops")
"""Packages whose versions can change the result of a fit."""


def package_versions() -> dict[str, str]:
    """Return the installed version of each package in `PACKAGES`."""
    return {name: version(name) for name in PACKAGES}


def origin_tags(options: TrainOptions, settings: Settings) -> dict[str, str]:
    """Return the tags of a run that `manta reproduce` needs to train the same model again.

    Args:
        options: Options of the run.
        settings: Commit, user, stack and judgement, if they are set in the environment.
    """
    submitter = {
        run_tags.USER: settings.user,
        run_tags.STACK: settings.stack,
        run_tags.RETRAIN_JUDGEMENT: settings.retrain_judgement,
    }
    return {
        run_tags.COMMIT: settings.git_commit or git_commit(_code_folder(options)),
        run_tags.ARGUMENTS: shlex.join(options.argv()),
        **{name: value for name, value in submitter.items() if value},
        **{f"{run_tags.PACKAGE_PREFIX}{name}": number for name, number in package_versions().items()},
    }


def data_change_tags(registry: Registry, experiment: str, dataset: Dataset) -> dict[str, str]:
    """Compare the data with that of the last run on data of the same name.

    Returns:
        The tag `data.changed_since` with the id of that run if the fingerprints differ, else nothing.

    Raises:
        RegistryUnavailableError: MLflow does not answer.
    """
    last_run = registry.last_run(experiment, dataset.name)
    last_fingerprint = last_run.data.tags.get(run_tags.DATA_FINGERPRINT) if last_run is not None else None
    if last_run is None or last_fingerprint in {None, dataset.fingerprint}:
        return {}
    log.info("the data of %s changed since the last run on it, %s", dataset.name, last_run.info.run_id)
    return {run_tags.DATA_CHANGED_SINCE: last_run.info.run_id}


def _code_folder(options: TrainOptions) -> Path:
    """Return the folder whose commit a run records: that of the user's model, or that of this package."""
    if options.model is None:
        return Path(__file__).parent
    return Path(split_location(options.model)[0]).resolve().parent

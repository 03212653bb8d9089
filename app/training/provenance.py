"""Where a model comes from: the commit and packages that made it, and a fingerprint that tells it from another."""

import hashlib
import logging
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from app.models.registry import Registry
from app.settings import Settings
from app.training import run_tags
from app.training.data.sources import Dataset
from app.training.git import git_commit
from app.training.options import TrainOptions

log = logging.getLogger("manta.train")

PACKAGES: Final = ("mlflow", "numpy", "pandas", "ray", "scikit-learn", "skops")
"""Packages whose versions decide what a fit gives."""


def packages() -> dict[str, str]:
    """Installed versions by package."""
    return {name: version(name) for name in PACKAGES}


def origin(chosen: TrainOptions, configured: Settings) -> dict[str, str]:
    """Tags of a run that say who made it from what, so that `manta reproduce` can make it again.

    Args:
        chosen: Options of the run.
        configured: What the process was told of commit, user and stack.
    """
    told = {run_tags.USER: configured.user, run_tags.STACK: configured.stack}
    return {
        run_tags.COMMIT: configured.git_commit or git_commit(Path(__file__).parent),
        run_tags.ARGUMENTS: shlex.join(chosen.argv()),
        **{name: value for name, value in told.items() if value},
        **{f"{run_tags.PACKAGE_PREFIX}{name}": number for name, number in packages().items()},
    }


def changed(registry: Registry, experiment: str, dataset: Dataset) -> dict[str, str]:
    """Say so where data of the same name was another one in the last run on it.

    Returns:
        The tag `data.changed_since` with the id of that run, or nothing.

    Raises:
        RegistryUnavailableError: MLflow does not answer.
    """
    last = registry.last_run(experiment, dataset.name)
    before = last.data.tags.get(run_tags.DATA_FINGERPRINT) if last is not None else None
    if last is None or before in {None, dataset.fingerprint}:
        return {}
    log.info("%s is not the data that it was in the last run on it, %s", dataset.name, last.info.run_id)
    return {run_tags.DATA_CHANGED_SINCE: last.info.run_id}


def fingerprint(forest: RandomForestClassifier) -> str:
    """SHA-256, in hex, over every node of every tree in order: equal only for forests that are equal bit for bit."""
    digest = hashlib.sha256(repr(forest.classes_.tolist()).encode())
    for tree in forest.estimators_:
        nodes = tree.tree_.__getstate__()["nodes"]
        for field in sorted(set(nodes.dtype.names) - {"impurity"}):
            digest.update(np.ascontiguousarray(nodes[field]).tobytes())
        digest.update(np.ascontiguousarray(tree.tree_.value).tobytes())
    return digest.hexdigest()

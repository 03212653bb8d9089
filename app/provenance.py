"""Where a model comes from: the commit and packages that made it, and a fingerprint that tells it from another."""

import hashlib
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.ensemble import RandomForestClassifier

GIT_TIMEOUT_S: Final = 10
"""The longest that git may take to tell a commit."""

PACKAGES: Final = ("mlflow", "numpy", "pandas", "ray", "scikit-learn", "skops")
"""Packages whose versions decide what a fit gives."""


def packages() -> dict[str, str]:
    """Installed versions by package."""
    return {name: version(name) for name in PACKAGES}


def git_commit() -> str:
    """Commit of the working tree that this package lies in, with `-dirty` where files differ; empty without git."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],  # noqa: S607
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def fingerprint(forest: RandomForestClassifier) -> str:
    """SHA-256, in hex, over every node of every tree in order: equal only for forests that are equal bit for bit."""
    digest = hashlib.sha256(repr(forest.classes_.tolist()).encode())
    for tree in forest.estimators_:
        nodes = tree.tree_.__getstate__()["nodes"]
        for field in sorted(set(nodes.dtype.names) - {"impurity"}):
            digest.update(np.ascontiguousarray(nodes[field]).tobytes())
        digest.update(np.ascontiguousarray(tree.tree_.value).tobytes())
    return digest.hexdigest()

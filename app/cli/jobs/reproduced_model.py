"""The file of a user's model in the commit of a run, and the parameters that a search found for it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from app.errors import MantaError
from app.training import run_tags
from app.training.models.location import split_location
from app.training.options import flag

MODEL_OPTION: Final = flag("model")


class ReproductionError(MantaError):
    """A run cannot be repeated here, or the repetition has other data or another model."""

    title = "Not reproduced"


def found_parameters(tags: Mapping[str, str]) -> list[str]:
    """Return the arguments that set the parameters which a search found for a user's model.

    Args:
        tags: Tags of the run.
    """
    space = json.loads(tags[run_tags.SEARCH_CONDITIONS])["space"]
    values = json.loads(tags[run_tags.MODEL_PARAMETERS])
    arguments = []
    for name in space:
        arguments += [flag("set"), f"{name}={json.dumps(values[name])}"]
    return arguments


def with_model(arguments: list[str], tree: Path, expected_hash: str) -> list[str]:
    """Replace the path of the model's file by its path in a checkout.

    Args:
        arguments: Command-line arguments of the run.
        tree: Checkout of the run's commit.
        expected_hash: SHA-256 of the file in the run; empty for the default model.

    Raises:
        ReproductionError: The commit does not have the file, or has another content in it.
    """
    if MODEL_OPTION not in arguments:
        return arguments
    position = arguments.index(MODEL_OPTION) + 1
    location, function = split_location(arguments[position])
    hashes = {file: _hash(file) for file in sorted(tree.rglob(Path(location).name)) if file.is_file()}
    equal = [file for file, digest in hashes.items() if digest == expected_hash]
    if not equal:
        raise ReproductionError(
            f"The file {location} of the run is not in its commit."
            if not hashes
            else f"The file {location} differs: its SHA-256 in the commit is {', '.join(hashes.values())}, and the run "
            f"recorded {expected_hash}.",
            next_step="Commit the file before training. The text of the file is an artifact of the run.",
        )
    replaced = list(arguments)
    replaced[position] = f"{equal[0]}:{function}" if function else str(equal[0])
    return replaced


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()

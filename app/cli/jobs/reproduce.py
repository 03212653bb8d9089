"""`manta reproduce`: a run made again from its commit, data and parameters, and compared bit for bit."""

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from app import names
from app.cli.endpoints import Target
from app.errors import MantaError
from app.settings import empty_environment, settings
from app.training import run_tags
from app.training.data.dvc import DvcLocation, is_dvc_location
from app.training.git import DIRTY_SUFFIX, checkout
from app.training.options import DATA_SOURCES, FOREST_OPTIONS, SEARCH_OPTIONS, flag

DATA: Final = flag("data")


class ReproductionError(MantaError):
    """A run that cannot be made again here, or that came out another one."""

    title = "Not reproduced"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a run was made of."""

    commit: str
    arguments: tuple[str, ...]
    """Options of `python -m app.train`."""
    packages: dict[str, str]
    fingerprints: dict[str, str]
    """Of the data and of the model, by their tags."""

    @classmethod
    def of(cls, run_id: str, tags: Mapping[str, str], params: Mapping[str, str]) -> "Recipe":
        """Read what a run says of itself.

        Raises:
            ReproductionError: It does not say all, or its code was not committed.
        """
        needed = (run_tags.COMMIT, run_tags.ARGUMENTS, run_tags.DATA_FINGERPRINT, run_tags.MODEL_FINGERPRINT)
        missing = [name for name in needed if not tags.get(name)]
        if missing:
            raise ReproductionError(
                f"The run {run_id} has no {', '.join(missing)}.",
                allowed="a finished run of `manta train`, from a working tree of git",
                next_step="Name another run.",
            )
        if tags[run_tags.COMMIT].endswith(DIRTY_SUFFIX) or tags.get(run_tags.DATA_REVISION, "").endswith(DIRTY_SUFFIX):
            what = "code" if tags[run_tags.COMMIT].endswith(DIRTY_SUFFIX) else "data's entry"
            raise ReproductionError(
                f"The {what} of the run {run_id} was changed and not committed: {tags[run_tags.COMMIT]} does not "
                "hold it.",
                next_step="Commit before training, or reproduce a run that came from a commit.",
            )
        return cls(
            commit=tags[run_tags.COMMIT],
            arguments=tuple(_arguments(shlex.split(tags[run_tags.ARGUMENTS]), tags, params)),
            packages={
                name.removeprefix(run_tags.PACKAGE_PREFIX): version
                for name, version in tags.items()
                if name.startswith(run_tags.PACKAGE_PREFIX)
            },
            fingerprints={name: tags[name] for name in (run_tags.DATA_FINGERPRINT, run_tags.MODEL_FINGERPRINT)},
        )


def reproduce(
    run_id: Annotated[str, typer.Argument(help="Run in MLflow.", show_default=False)],
    data: Annotated[str, typer.Option(help="Where the data lies now, if elsewhere.")] = "",
    repository: Annotated[Path, typer.Option(help="Clone that has the commit.")] = Path(),
) -> None:
    """Train a run again from its commit, data and parameters, and show that the model is the same, bit for bit.

    Nothing is registered, and the working tree is left alone.

    Example: manta reproduce 0f3c6d9b8e7a4c5d9b8e7a4c5d9b8e7a
    """
    from app.models.registry import Registry  # noqa: PLC0415 - MLflow takes a second and a half to import

    configured = settings().model_copy(update={"mlflow_tracking_uri": Target.find(settings()).mlflow_url})
    run = Registry(configured).get_run(run_id)
    recipe = Recipe.of(run_id, run.data.tags, run.data.params)
    check_packages(recipe)
    with checkout(recipe.commit, repository) as tree, tempfile.TemporaryDirectory(prefix="manta-run-") as scratch:
        arguments = _with_data(recipe.arguments, tree, data)
        typer.echo(f"training {recipe.commit[:12]} with {shlex.join(arguments)}", err=True)
        store = f"sqlite:///{scratch}/mlflow.db"
        made = _train(arguments, tree, store)
        again = Registry(configured.model_copy(update={"mlflow_tracking_uri": store})).get_run(made).data.tags
    compare(recipe, again)
    typer.echo(f"The model is the same, bit for bit: {recipe.fingerprints[run_tags.MODEL_FINGERPRINT]}")


def check_packages(recipe: Recipe) -> None:
    """Make sure that what a fit depends on is here in the versions of the run.

    Raises:
        ReproductionError: It is not; every difference is named.
    """
    here = {name: _installed(name) for name in recipe.packages}
    differing = [f"{name} {was} (here {here[name]})" for name, was in recipe.packages.items() if here[name] != was]
    if differing:
        raise ReproductionError(
            f"The run used other versions: {', '.join(differing)}.",
            next_step="Install those of its commit into an environment of their own: "
            f"git show {recipe.commit}:requirements/app.txt",
        )


def compare(recipe: Recipe, again: Mapping[str, str]) -> None:
    """Compare data and model of a run with those of its repetition.

    Args:
        recipe: Of the run.
        again: Tags of the repetition.

    Raises:
        ReproductionError: They are not the same.
    """
    for tag, what, why in (
        (
            run_tags.DATA_FINGERPRINT,
            "data",
            "The file was changed since: find the one of the run, and name it with --data.",
        ),
        (
            run_tags.MODEL_FINGERPRINT,
            "model",
            "Data, code and packages are the same: see whether the machine is of another kind.",
        ),
    ):
        if again[tag] != recipe.fingerprints[tag]:
            was = recipe.fingerprints[tag]
            raise ReproductionError(f"The {what} came out as {again[tag]}, and the run had {was}.", next_step=why)


def _arguments(words: list[str], tags: Mapping[str, str], params: Mapping[str, str]) -> list[str]:
    """The run's own options, with what they left to defaults or to a search."""
    if not any(flag(name) in words for name in DATA_SOURCES):
        words += ["--dataset", params["dataset"]]
    if DATA in words and is_dvc_location(data := words[words.index(DATA) + 1]):
        pinned = DvcLocation(path=DvcLocation.parse(data).path, revision=tags[run_tags.DATA_REVISION])
        words[words.index(DATA) + 1] = str(pinned)
    if flag("trials") not in words:
        return words
    # The run holds the parameters that the search found, so the options of the search are left out.
    for option in map(flag, SEARCH_OPTIONS):
        if option in words:
            del words[words.index(option) : words.index(option) + 2]
    for name, parameter in FOREST_OPTIONS.items():
        if params.get(parameter, "None") not in {"None", "sqrt"} and flag(name) not in words:
            words += [flag(name), params[parameter]]
    return words


def _with_data(arguments: tuple[str, ...], tree: Path, data: str) -> list[str]:
    """The options with the data's place: the one that is given, in the commit, or where it was."""
    words = list(arguments)
    if DATA not in words or "://" in words[words.index(DATA) + 1]:
        return words
    place = words.index(DATA) + 1
    if data:
        words[place] = data if "://" in data or is_dvc_location(data) else str(Path(data).resolve())
    elif is_dvc_location(words[place]):
        location = DvcLocation.parse(words[place])
        words[place] = str(DvcLocation(path=str(Path(location.path).absolute()), revision=location.revision))
    elif not (tree / words[place]).exists():
        words[place] = str(Path(words[place]).resolve())
        if not Path(words[place]).exists():
            raise ReproductionError(
                f"The data of the run is neither in its commit nor at {words[place]}.",
                next_step="Say where it lies now with --data PATH_OR_URL.",
            )
    return words


def _train(arguments: list[str], tree: Path, store: str) -> str:
    """Train by the code of a folder, with a tracking store of its own, and give the id of the run there."""
    job = subprocess.run(
        [sys.executable, "-m", names.TRAIN_MODULE, *arguments],
        cwd=tree,
        env=empty_environment() | {"MLFLOW_TRACKING_URI": store, "PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if job.returncode != 0:
        raise ReproductionError("The training failed.", next_step="Its output says why.")
    found: dict[str, Any] = json.loads(next(line for line in job.stdout.splitlines() if line.startswith("{")))
    return str(found["run_id"])


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"

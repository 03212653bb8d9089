"""`manta reproduce`: repeat a training run from its commit, data and parameters, and compare the models bit for bit."""

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Final

import typer

from app import names
from app.cli import destination
from app.cli.jobs.reproduced_model import MODEL_OPTION, ReproductionError, found_parameters, with_model
from app.cli.json_object import JsonObject
from app.cli.shared_options import PlatformOption
from app.settings import empty_environment, set_mlflow_credentials, settings
from app.training import run_tags
from app.training.data.dvc import DvcLocation, is_dvc_location
from app.training.data.log_location import is_log
from app.training.git import DIRTY_SUFFIX, checkout
from app.training.models.location import split_location
from app.training.options import DATA_SOURCES, FOREST_OPTIONS, SEARCH_OPTIONS, flag

DATA_OPTION: Final = flag("data")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that is needed to repeat a run, and the fingerprints to compare."""

    commit: str
    arguments: tuple[str, ...]
    """Command-line arguments of `python -m app.train`."""
    packages: dict[str, str]
    """Version of each package that affects the model."""
    fingerprints: dict[str, str]
    """Fingerprints of the data and of the model, by tag."""
    model_hash: str = ""
    """SHA-256 of the user's file that defines the model; empty for the default model."""

    @classmethod
    def from_run(cls, run_id: str, tags: Mapping[str, str], params: Mapping[str, str]) -> "Recipe":
        """Read the recipe from the tags and parameters of a run.

        Raises:
            ReproductionError: A tag is missing, the code or the data was not committed, or the data came from the
                prediction log.
        """
        required = (run_tags.COMMIT, run_tags.ARGUMENTS, run_tags.DATA_FINGERPRINT, run_tags.MODEL_FINGERPRINT)
        missing_tags = [name for name in required if not tags.get(name)]
        if missing_tags:
            raise ReproductionError(
                f"The run {run_id} has no tag {', '.join(missing_tags)}.",
                allowed="a finished run of `manta train` whose code was in a git working tree",
                next_step="Name another run.",
            )
        for subject, revision in (
            ("code", tags[run_tags.COMMIT]),
            ("DVC entry of the data", tags.get(run_tags.DATA_REVISION, "")),
        ):
            if revision.endswith(DIRTY_SUFFIX):
                raise ReproductionError(
                    f"The run {run_id} used uncommitted changes: the {subject} differed from commit "
                    f"{revision.removesuffix(DIRTY_SUFFIX)}.",
                    next_step="Commit before training, or reproduce a run of committed code and data.",
                )
        source = tags.get(run_tags.DATA_ADDED_LOG) or tags.get(run_tags.DATA_SOURCE, "")
        if is_log(source) or run_tags.DATA_ADDED_LOG in tags:
            raise ReproductionError(
                f"The run {run_id} was trained on {source}, and the prediction log has changed since.",
                next_step="Reproduce a run that was trained on a file.",
            )
        return cls(
            commit=tags[run_tags.COMMIT],
            arguments=tuple(_arguments(shlex.split(tags[run_tags.ARGUMENTS]), tags, params)),
            packages={
                tag.removeprefix(run_tags.PACKAGE_PREFIX): value
                for tag, value in tags.items()
                if tag.startswith(run_tags.PACKAGE_PREFIX)
            },
            fingerprints={tag: tags[tag] for tag in (run_tags.DATA_FINGERPRINT, run_tags.MODEL_FINGERPRINT)},
            model_hash=tags.get(run_tags.MODEL_FILE_HASH, ""),
        )


def reproduce(
    run_id: Annotated[str, typer.Argument(help="Id of the run in MLflow.", show_default=False)],
    data: Annotated[
        str,
        typer.Option(
            metavar="PATH|URL|dvc:PATH[@REV]",
            help="Location of the data, if it has moved since the run.",
            show_default=False,
        ),
    ] = "",
    repository: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Git clone that contains the run's commit.")
    ] = Path(),
    stack: PlatformOption = "",
) -> None:
    """Repeat a training run and check that the model is identical, bit for bit.

    The run's commit, data and parameters come from MLflow.
    The repetition registers no model and does not change the working tree.

    Example: manta reproduce 0f3c6d9b8e7a4c5d9b8e7a4c5d9b8e7a
    """
    from app.models.registry import Registry  # noqa: PLC0415 - importing MLflow takes 1.5 s

    with destination.find(settings(), "mlflow", stack=stack).open("mlflow") as endpoints:
        if endpoints.mlflow_auth is not None:
            set_mlflow_credentials(*endpoints.mlflow_auth)
        run = Registry(settings().model_copy(update={"mlflow_tracking_uri": endpoints.mlflow_url})).get_run(run_id)
    recipe = Recipe.from_run(run_id, run.data.tags, run.data.params)
    check_packages(recipe)
    with checkout(recipe.commit, repository) as tree, tempfile.TemporaryDirectory(prefix="manta-run-") as scratch:
        arguments = with_model(_with_data(recipe.arguments, tree, data), tree, recipe.model_hash)
        typer.echo(f"training commit {recipe.commit[:12]} with {shlex.join(arguments)}", err=True)
        store = f"sqlite:///{scratch}/mlflow.db"
        new_run_id = _train(arguments, tree, store)
        new_run = Registry(settings().model_copy(update={"mlflow_tracking_uri": store})).get_run(new_run_id)
        new_tags = new_run.data.tags
    compare(recipe, new_tags)
    typer.echo(f"The model is the same, bit for bit: {recipe.fingerprints[run_tags.MODEL_FINGERPRINT]}")


def check_packages(recipe: Recipe) -> None:
    """Check that the packages that affect the model are installed in the versions of the run.

    Raises:
        ReproductionError: Versions differ. The error lists every difference.
    """
    installed = {name: _installed_version(name) for name in recipe.packages}
    differences = [
        f"{name} {required} (here {installed[name]})"
        for name, required in recipe.packages.items()
        if installed[name] != required
    ]
    if differences:
        raise ReproductionError(
            f"The run used other package versions: {', '.join(differences)}.",
            next_step="Install the locked packages of its commit into a separate environment. They are listed by: "
            f"git show {recipe.commit}:requirements/app.txt",
        )


def compare(recipe: Recipe, new_tags: Mapping[str, str]) -> None:
    """Compare the data and the model of a run with those of its repetition.

    Args:
        recipe: Recipe of the run.
        new_tags: Tags of the repetition.

    Raises:
        ReproductionError: The data or the model differs.
    """
    for tag, subject, next_step in (
        (
            run_tags.DATA_FINGERPRINT,
            "data",
            "The file has changed since the run. Name the file of the run with --data.",
        ),
        (
            run_tags.MODEL_FINGERPRINT,
            "model",
            "Code, data and packages are the same, so check whether the CPU is of another kind.",
        ),
    ):
        if new_tags[tag] != recipe.fingerprints[tag]:
            raise ReproductionError(
                f"The {subject} differs: its fingerprint is {new_tags[tag]}, and the run recorded "
                f"{recipe.fingerprints[tag]}.",
                next_step=next_step,
            )


def _arguments(arguments: list[str], tags: Mapping[str, str], params: Mapping[str, str]) -> list[str]:
    """The run's arguments, plus the values that came from a default or from a search."""
    if not any(flag(name) in arguments for name in DATA_SOURCES):
        arguments += ["--dataset", params["dataset"]]
    if DATA_OPTION in arguments and is_dvc_location(data := arguments[arguments.index(DATA_OPTION) + 1]):
        location_at_revision = DvcLocation(path=DvcLocation.parse(data).path, revision=tags[run_tags.DATA_REVISION])
        arguments[arguments.index(DATA_OPTION) + 1] = str(location_at_revision)
    if (option := flag("add_log")) in arguments:
        # The log had no labelled rows: `from_run` refuses a run with rows of the log.
        del arguments[arguments.index(option) : arguments.index(option) + 2]
    if flag("trials") not in arguments:
        return arguments
    # The run's parameters hold the result of the search, so the options of the search are dropped.
    for option in map(flag, SEARCH_OPTIONS):
        if option in arguments:
            del arguments[arguments.index(option) : arguments.index(option) + 2]
    if MODEL_OPTION in arguments:
        return arguments + found_parameters(tags)
    for name, parameter in FOREST_OPTIONS.items():
        # The options take no value for scikit-learn's defaults None and "sqrt".
        if params.get(parameter, "None") not in {"None", "sqrt"} and flag(name) not in arguments:
            arguments += [flag(name), params[parameter]]
    return arguments


def _with_data(recipe_arguments: tuple[str, ...], tree: Path, data: str) -> list[str]:
    """Replace the location of the data: by `data` if it is not empty, else by a path that is valid in `tree`.

    Raises:
        ReproductionError: The data file is neither in the commit nor at its old path.
    """
    arguments = list(recipe_arguments)
    if DATA_OPTION not in arguments:
        return arguments
    position = arguments.index(DATA_OPTION) + 1
    location_of_run = arguments[position]
    file, function = split_location(location_of_run)
    if data:
        arguments[position] = data if "://" in data or is_dvc_location(data) else str(Path(data).resolve())
    elif is_dvc_location(location_of_run):
        location = DvcLocation.parse(location_of_run)
        arguments[position] = str(DvcLocation(path=str(Path(location.path).absolute()), revision=location.revision))
    elif "://" not in location_of_run and not (tree / file).exists():
        path = Path(file).resolve()
        if not path.exists():
            raise ReproductionError(
                f"The data of the run is neither in its commit nor at {path}.",
                next_step="Name its location with --data PATH_OR_URL.",
            )
        arguments[position] = f"{path}:{function}" if function else str(path)
    return arguments


def _train(arguments: list[str], tree: Path, store: str) -> str:
    """Train with the code in `tree` and with a separate tracking store, and return the id of the new run.

    Raises:
        ReproductionError: The training failed.
    """
    process = subprocess.run(
        [sys.executable, "-m", names.TRAIN_MODULE, *arguments],
        cwd=tree,
        env=empty_environment() | {"MLFLOW_TRACKING_URI": store, "PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if process.returncode != 0:
        raise ReproductionError("The training failed.", next_step="Its output above says why.")
    result: JsonObject = json.loads(next(line for line in process.stdout.splitlines() if line.startswith("{")))
    return str(result["run_id"])


def _installed_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"

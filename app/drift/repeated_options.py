"""The options that repeat the training of a version: the options of its run, except those in `ONCE`."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import typer
from typer.exceptions import TyperException

from app.command import single_command_app
from app.errors import MantaError, ParameterError
from app.training import run_tags
from app.training.command_line import create_command
from app.training.data.dvc import DvcLocation, is_dvc_location
from app.training.data.log_location import is_log
from app.training.data.split import has_date_limit
from app.training.models.location import split_location
from app.training.options import NOT_IN_LOG, TrainOptions, flag

LOG_PERIOD: Final = "30d"
"""Period of the labelled rows that a retraining adds to the data."""

ONCE: Final = ("force", "no_promote", "resume")
"""Options that are not repeated: the gate decides about each retraining, and each begins from the start."""


class NotRepeatableError(MantaError):
    """No job can repeat the training of a version."""

    title = "Training not repeatable"


def repeated_options(
    run_id: str, tags: Mapping[str, str], params: Mapping[str, str], *, model: str, default_model: str
) -> TrainOptions:
    """Return the options of a training like that of a run.

    Args:
        run_id: The run, for error messages.
        tags: Tags of the run.
        params: Parameters of the run.
        model: The registered model.
        default_model: The registered model of a training without `--name`.

    Raises:
        NotRepeatableError: The run was no training, this release does not take its options, or a job cannot read its
            data or the file of its model.
    """
    if run_tags.ARGUMENTS not in tags:
        raise NotRepeatableError(
            f"The run {run_id} is no run of manta train, so its options are unknown.",
            next_step="Train the model once with manta train.",
        )
    options = _parse(run_id, tags[run_tags.ARGUMENTS])
    defaults = TrainOptions()
    changes = {name: getattr(defaults, name) for name in ONCE}
    changes["name"] = None if model == default_model else model
    if options.data is None and options.dataset is None and not options.synthetic:
        changes["dataset"] = params.get("dataset")
    _check_readable(run_id, options)
    return options.model_copy(update=changes)


def with_log(options: TrainOptions, *, are_columns_left_out: bool, held_out: str) -> tuple[TrainOptions, str]:
    """Add the labelled rows of the prediction log to the data of a training, if that is possible.

    Args:
        options: The training.
        are_columns_left_out: Whether the log keeps some columns only.
        held_out: The rule that held rows out of the champion's training; see `Split.description`.

    Returns:
        The options, and a sentence that says what the training reads.
    """
    source = options.data or options.dataset or "--synthetic"
    roles = [flag(name) for name in NOT_IN_LOG if getattr(options, name) is not None]
    if options.time is not None and not has_date_limit(held_out):
        roles.append(flag("time"))  # its numbers say nothing about when a row was predicted
    if is_log(source):
        return options, f"The data is {source}."
    if roles:
        return options, f"The data is {source}, without rows of the log, which lacks the column of {', '.join(roles)}."
    if are_columns_left_out:
        return options, f"The data is {source}, without rows of the log, which keeps some columns only."
    period = options.add_log or LOG_PERIOD
    later = "" if options.time is None else " that are later"
    sentence = f"The data is {source} and the labelled rows of the last {period}{later}."
    return options.model_copy(update={"add_log": period}), sentence


def _parse(run_id: str, arguments: str) -> TrainOptions:
    """Parse the arguments of a run as the training job does."""
    parsed: list[TrainOptions] = []
    command = typer.main.get_command(single_command_app(create_command(parsed.append, help_text="")))
    try:
        command.main(shlex.split(arguments), standalone_mode=False)
    # `shlex` raises ValueError for a quotation mark that is not closed.
    except (TyperException, ParameterError, ValueError) as error:
        raise NotRepeatableError(
            f"This release does not take the options of the run {run_id}: {error}",
            next_step="Train the model once with manta train.",
        ) from error
    return parsed[0]


def _check_readable(run_id: str, options: TrainOptions) -> None:
    """Check that a job can read the data and the file of the model.

    Raises:
        NotRepeatableError: A file was uploaded with the working directory of the run's job, or does not exist.
    """
    data, model = options.data, options.model
    if data is not None and not is_log(data) and "://" not in data:
        # DVC may have the file although its working tree does not.
        is_dvc = is_dvc_location(data)
        path = Path(DvcLocation.parse(data).path).parent if is_dvc else Path(split_location(data)[0])
        if not (path.is_absolute() and path.exists()):
            raise NotRepeatableError(
                f"No job can read the data of the run {run_id}: {data} {_fault(path)}.",
                next_step="Put the data where a job can read it, and train once with manta train --data URL. Or train "
                "on a schedule: key trainSchedule.",
            )
    if model is not None:
        path = Path(split_location(model)[0])
        if not (path.is_absolute() and path.exists()):
            raise NotRepeatableError(
                f"No job can read the model of the run {run_id}: {model} {_fault(path)}.",
                next_step="Train on a schedule of your own with manta train --model.",
            )


def _fault(path: Path) -> str:
    """Say why a job cannot read a path. A relative path belongs to the working directory that a job uploaded."""
    return "does not exist here" if path.is_absolute() else "was uploaded for one job"

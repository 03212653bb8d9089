"""What a training run starts from: the data set, the model, and the parameters that options give it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.errors import ParameterError
from app.settings import Settings
from app.training.data import sources
from app.training.data.added_log import add_log
from app.training.data.columns import check_numbers
from app.training.data.dataset import Dataset, Task
from app.training.data.targets import task_of
from app.training.models.definition import ModelDefinition
from app.training.models.forest import ForestDefinition
from app.training.models.location import split_location
from app.training.models.model_file import FileDefinition
from app.training.models.parameters import ParameterValues, parse_assignments
from app.training.models.search_space import SearchSpace, check_space, first_point, parse_space
from app.training.named_data import read_data
from app.training.options import FOREST_OPTIONS, TrainOptions, flag

SYNTHETIC_WIDTH: Final = 50
SYNTHETIC_HEIGHT: Final = 25
SYNTHETIC_STEPS: Final = 100
"""Defaults of `--width`, `--height` and `--steps`."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The data set and the model of a training run."""

    dataset: Dataset
    definition: ModelDefinition
    task: Task
    """What the model predicts."""
    space: SearchSpace
    """Parameters that are searched, without those that options give; empty without `--trials`."""
    parameters: ParameterValues
    """A value for every parameter. A search replaces those in the space."""


def read_inputs(options: TrainOptions, settings: Settings) -> Inputs:
    """Read the data set and the model that the options name.

    With `--synthetic`, both depend on `--width`, `--height` and `--steps`, as in the original of this project.

    Raises:
        ParameterError: The bundled data set does not exist, or the model does not take a parameter.
        ModelCodeError: The file of the model cannot be used.
        DataError: The data cannot be used.
    """
    definition: ModelDefinition
    if options.model is not None:
        path, function = split_location(options.model)
        definition = FileDefinition(Path(path), function)
        given = {
            name: definition.parameters[name].parse(text) for name, text in parse_assignments(options.set_).items()
        }
        space = _search_space(options, definition, given)
        dataset = _read_dataset(options, settings)
        synthetic: ParameterValues = {}
    else:
        dataset = _read_dataset(options, settings)
        check_numbers(dataset.rows.features, source=dataset.source)
        definition = ForestDefinition(task_of(dataset.rows.target))
        given, synthetic = options.forest_parameters(), _synthetic_forest(options)
        _check_forest_options(definition, given)
        space = _search_space(options, definition, given)
    # A parameter without a default that is searched gets a value of the search space for the check before the search.
    defaults = definition.parameters.defaults
    searched = {name: value for name, value in first_point(space).items() if name not in defaults}
    values = definition.parameters.complete(searched | synthetic | given, seed=options.seed)
    return Inputs(
        dataset=dataset,
        definition=definition,
        task=definition.task(dataset.rows, values),
        space=space,
        parameters=values,
    )


def _read_dataset(options: TrainOptions, settings: Settings) -> Dataset:
    dataset = _read_source(options, settings)
    return dataset if options.add_log is None else add_log(dataset, options.add_log, settings)


def _read_source(options: TrainOptions, settings: Settings) -> Dataset:
    if options.synthetic:
        steps = SYNTHETIC_STEPS if options.steps is None else options.steps
        return sources.make_synthetic(n_samples=min(5000, 500 + 10 * steps), seed=options.seed)
    if options.data is not None:
        return read_data(
            options.data,
            settings,
            target=options.target,
            group=options.group,
            time=options.time,
            weight=options.weight,
        )
    return sources.load_bundled(options.dataset or settings.dataset)


def _synthetic_forest(options: TrainOptions) -> ParameterValues:
    """Return the parameters of the forest that `--synthetic` sets; none without it."""
    if not options.synthetic:
        return {}
    width = SYNTHETIC_WIDTH if options.width is None else options.width
    height = SYNTHETIC_HEIGHT if options.height is None else options.height
    steps = SYNTHETIC_STEPS if options.steps is None else options.steps
    return {
        "n_estimators": max(10, width),
        "max_depth": max(2, height),
        "max_features": min(1.0, 0.3 + steps / 500),
    }


def _check_forest_options(definition: ModelDefinition, given: ParameterValues) -> None:
    """Check the options of the forest against its kind, which the target decides.

    Raises:
        ParameterError: A forest of this kind does not have the parameter, or does not take the value.
    """
    flags = {parameter: flag(option) for option, parameter in FOREST_OPTIONS.items()}
    for name, value in given.items():
        if name not in definition.parameters.names:
            raise ParameterError(
                f"{flags[name]} cannot be used for a target of numbers.", next_step=f"Drop {flags[name]}."
            )
        fault = definition.parameters[name].fault(value)
        if fault:
            raise ParameterError(f"{flags[name]} {value} cannot be used for this target: {fault}.")


def _search_space(options: TrainOptions, definition: ModelDefinition, given: ParameterValues) -> SearchSpace:
    """Return the parameters that are searched: those of the space that no option gives.

    Raises:
        ParameterError: The model has no search space, does not take its values, or options give all its parameters.
    """
    if options.trials is None:
        return {}
    space = definition.space if options.space is None else parse_space(options.space)
    check_space(space, definition.parameters)
    searched = {name: domain for name, domain in space.items() if name not in given}
    if not space:
        raise ParameterError(
            f"{definition.label} has no search space.",
            next_step="Add a dictionary SPACE to the file, or give --space. For example: "
            'SPACE = {"max_depth": [3, 5], "learning_rate": {"low": 0.01, "high": 1, "log": True}}',
        )
    if not searched:
        raise ParameterError(
            "An option sets every parameter of the search space, so there is nothing to search.",
            next_step="Drop --trials, or drop the option of a parameter that you want to search.",
        )
    return searched

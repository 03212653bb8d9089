"""The options of a training run, and which of them can be used together.

`app.training.command_line` gives them help texts and ranges.
"""

import re
from typing import Final

from pydantic import BaseModel, ConfigDict

from app.errors import ParameterError
from app.names import MODEL_NAME_PATTERN
from app.records.period import parse_period
from app.training.data.log_location import LOG_PREFIX, is_log
from app.training.evaluation.metrics import check_margin, check_metric
from app.training.models.forest_parameters import SPACES, ClassWeight, Criterion, forest_parameters
from app.training.models.location import split_location
from app.training.models.parameters import parse_assignments
from app.training.models.search_space import SearchSpace, check_space, parse_space

DEFAULT_FOLDS: Final = 5
"""Folds of the cross-validation of a trial."""

DATA_SOURCES: Final = ("dataset", "data", "synthetic")
"""Options that say where the rows come from; at most one of them is set."""

COLUMN_ROLES: Final = ("group", "time", "weight")
"""Options that name a column of the data with another role than a feature."""

NOT_IN_LOG: Final = ("group", "weight")
"""Those of `COLUMN_ROLES` whose column the prediction log cannot have."""

SEARCH_OPTIONS: Final = ("trials", "folds", "space", "resume")
"""Options of a search; the others need `trials`."""

FOREST_OPTIONS: Final = {
    "trees": "n_estimators",
    "max_depth": "max_depth",
    "max_features": "max_features",
    "min_samples_leaf": "min_samples_leaf",
    "criterion": "criterion",
    "class_weight": "class_weight",
    "max_samples": "max_samples",
}
"""Options of the forest, and scikit-learn's names of these parameters."""


class TrainOptions(BaseModel):
    """The options of a training run. For an option that is None, `app.training.job` uses the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str | None = None
    data: str | None = None
    target: str | None = None
    group: str | None = None
    time: str | None = None
    weight: str | None = None
    add_log: str | None = None
    name: str | None = None
    model: str | None = None
    set_: tuple[str, ...] = ()
    synthetic: bool = False
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    trees: int | None = None
    max_depth: int | None = None
    max_features: float | None = None
    min_samples_leaf: int | None = None
    criterion: Criterion | None = None
    class_weight: ClassWeight | None = None
    max_samples: float | None = None
    test_size: float = 0.2
    seed: int = 42
    metric: str | None = None
    margin: float = 0.0
    no_promote: bool = False
    no_reference: bool = False
    force: bool = False
    trials: int | None = None
    folds: int | None = None
    space: str | None = None
    resume: str | None = None
    timeout: float = 600.0

    def check(self) -> None:
        """Check that the options can be used together, before any data is read or a job is submitted.

        Raises:
            ParameterError: Two options exclude each other, or an option needs another option.
        """
        self._check_data()
        self._check_model()
        self._check_gate()
        self._check_search()

    def forest_parameters(self) -> dict[str, object]:
        """Return the forest's parameters that are set, by scikit-learn's names."""
        parameters = {parameter: getattr(self, option) for option, parameter in FOREST_OPTIONS.items()}
        return {name: value for name, value in parameters.items() if value is not None}

    def argv(self) -> list[str]:
        """Return the command-line arguments that give these options."""
        arguments: list[str] = []
        for name, value in self.model_dump(exclude_defaults=True).items():
            if value is True:
                arguments.append(flag(name))
            else:
                for entry in value if isinstance(value, tuple) else (value,):
                    arguments += [flag(name), str(entry)]
        return arguments

    def _check_data(self) -> None:
        sources = [flag(name) for name in DATA_SOURCES if getattr(self, name)]
        if len(sources) > 1:
            raise ParameterError(
                f"{' and '.join(sources)} were given together.", allowed="one source of data", next_step="Drop one."
            )
        if self.data is not None and is_log(self.data):
            parse_period(self.data.removeprefix(LOG_PREFIX), example="--data log:30d")
        elif (self.data is None) != (self.target is None):
            raise ParameterError(
                "--data and --target belong together.", next_step="Give the file and its column with the labels."
            )
        self._check_roles()
        self._check_added_log()
        excluded = ("trees", "max_depth", "max_features") if self.synthetic else ("width", "height", "steps")
        flags = self._flags_that_are_set(excluded)
        if flags:
            raise ParameterError(
                f"{', '.join(flags)} cannot be used {'with' if self.synthetic else 'without'} --synthetic.",
                next_step="With --synthetic, use --width, --height and --steps, which set the data and the forest. "
                "Without it, use --trees, --max-depth and --max-features.",
            )

    def _check_roles(self) -> None:
        roles = self._flags_that_are_set(COLUMN_ROLES)
        if roles and self.data is None:
            raise ParameterError(
                f"{', '.join(roles)} cannot be used without --data.",
                next_step="Give the file that has the column, and --target.",
            )
        if self.group is not None and self.time is not None:
            raise ParameterError(
                "--group and --time were given together.",
                allowed="one rule that decides which rows are held out",
                next_step="Drop one.",
            )

    def _check_added_log(self) -> None:
        if self.add_log is None:
            return
        parse_period(self.add_log, example="--add-log 30d")
        if self.data is not None and is_log(self.data):
            raise ParameterError(f"--add-log and --data {self.data} were given together.", next_step="Drop --add-log.")
        roles = self._flags_that_are_set(NOT_IN_LOG)
        if roles:
            raise ParameterError(
                f"{', '.join(roles)} cannot be used with --add-log, because the prediction log lacks that column.",
                next_step="Drop --add-log.",
            )

    def _check_gate(self) -> None:
        if self.metric is not None:
            check_metric(self.metric)
            check_margin(self.margin, self.metric)
        if self.no_promote and self.force:
            raise ParameterError("--no-promote and --force were given together.", next_step="Drop one.")

    def _check_model(self) -> None:
        if self.name is not None and not re.fullmatch(MODEL_NAME_PATTERN, self.name):
            raise ParameterError(
                f"The name {self.name!r} cannot be used for a registered model.",
                allowed="a name without / : and quotes",
            )
        parse_assignments(self.set_)
        if self.model is None:
            if self.set_:
                raise ParameterError(
                    "--set cannot be used without --model.",
                    next_step=f"The default forest has options: {', '.join(map(flag, FOREST_OPTIONS))}.",
                )
            return
        if not split_location(self.model)[0].endswith(".py"):
            raise ParameterError(
                f"--model {self.model!r} is no Python file.",
                allowed="FILE.py or FILE.py:FUNCTION, such as model.py:build",
            )
        if self.synthetic:
            raise ParameterError("--model and --synthetic were given together.", next_step="Drop one.")
        flags = self._flags_that_are_set(tuple(FOREST_OPTIONS))
        if flags:
            values = " ".join(f"--set {name}={value}" for name, value in self.forest_parameters().items())
            raise ParameterError(
                f"{', '.join(flags)} cannot be used with --model, because they belong to the default forest.",
                next_step=f"If your function has parameters of these names: {values}",
            )

    def _check_search(self) -> None:
        dependent = self._flags_that_are_set(SEARCH_OPTIONS[1:])
        if self.trials is None and dependent:
            raise ParameterError(
                f"{', '.join(dependent)} cannot be used without --trials.",
                next_step="Give the number of trials: --trials 30.",
            )
        given = parse_assignments(self.set_) if self.model is not None else self.forest_parameters()
        if self.space is not None:
            space = parse_space(self.space)
            if self.model is None:
                _check_forest_space(space)
        elif self.model is None:
            space = SPACES["classification"]
        else:
            return
        in_both = [name for name in given if name in space]
        if self.trials is not None and self.space is not None and in_both:
            options = {parameter: flag(option) for option, parameter in FOREST_OPTIONS.items()}
            flags = [options[name] if self.model is None else f"--set {name}" for name in in_both]
            raise ParameterError(
                f"{', '.join(flags)} is given, and --space searches it too.",
                next_step="Drop the option, or the parameter in --space.",
            )
        if self.trials is not None and set(space) <= given.keys():
            raise ParameterError(
                "An option sets every parameter of the search space, so there is nothing to search.",
                next_step="Drop --trials, or drop the option of a parameter that you want to search.",
            )

    def _flags_that_are_set(self, names: tuple[str, ...]) -> list[str]:
        return [flag(name) for name in names if getattr(self, name) is not None]


def flag(name: str) -> str:
    """Return the command-line name of an option."""
    return "--" + name.rstrip("_").replace("_", "-")


def _check_forest_space(space: SearchSpace) -> None:
    """Check that one of the two forests can search a space. The target, which is not known yet, decides which one.

    Raises:
        ParameterError: Neither can; the error is the classifier's.
    """
    try:
        check_space(space, forest_parameters("classification"))
    except ParameterError as error:
        try:
            check_space(space, forest_parameters("regression"))
        except ParameterError:
            raise error from None

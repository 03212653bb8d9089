"""The model of a user's file: `build`, which returns an unfitted estimator, or `fit`, which returns a fitted one."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from app.errors import ParameterError
from app.training import run_tags
from app.training.data import targets
from app.training.data.dataset import Rows, Task
from app.training.models import estimators, fitting, source
from app.training.models.code_errors import ModelCodeError, user_code
from app.training.models.parameters import Parameters, ParameterValues
from app.training.models.search_space import SearchSpace, check_space, read_space
from app.training.ray_cluster import RayWorkers

DATA_PARAMETERS: Final = (("features", "target"), ("X", "y"))
"""Names of the first two parameters of a function that fits. Every other function builds."""

WEIGHT_PARAMETERS: Final = ("sample_weight", "weights")
"""Parameters of a function that fits which get the weights of the rows."""

DEFAULT_FUNCTIONS: Final = ("build", "fit")
"""Functions that are looked up if the option names none."""

SPACE_NAME: Final = "SPACE"
"""Variable of the file with the search space."""


class FileDefinition:
    """A model that a user's file defines. Workers of a search import the file again and check its hash.

    Args:
        path: The file.
        function_name: Name of the function; empty takes `build`, else `fit`.

    Raises:
        ModelCodeError: The file cannot be imported, or has no such function.
        ParameterError: The search space of the file is not valid.
    """

    def __init__(self, path: Path, function_name: str = "") -> None:
        self.path = path
        self._text, self.hash = source.read(path)
        module = source.load_module(path)
        if source.file_hash(path) != self.hash:
            raise ModelCodeError(f"{path.name} changed while it was imported.", next_step="Start the training again.")
        self._function = _find_function(module, function_name, path.name)
        self.function_name = function_name or self._function.__name__
        self.label = f"{path.name}:{self.function_name}"
        names = _parameter_names(self._function)
        self._fits = tuple(names[:2]) in DATA_PARAMETERS
        self._weights_name = next((name for name in WEIGHT_PARAMETERS if self._fits and name in names), None)
        skip = [*names[:2], *WEIGHT_PARAMETERS] if self._fits else []
        self._parameters = Parameters.of_function(self._function, owner=self.label, skip=skip)
        self._space: SearchSpace = {}
        if (space := getattr(module, SPACE_NAME, None)) is not None:
            self._space = read_space(space, source=f"{SPACE_NAME} in {path.name}")
            if self.function_name in DEFAULT_FUNCTIONS:  # another function may have other parameters
                check_space(self._space, self._parameters)

    def __reduce__(self) -> tuple[object, ...]:
        """Send the place of the file to a worker, instead of what was imported."""
        return _load_in_worker, (self.path, self.path.resolve(), self.function_name, self.hash)

    @property
    def parameters(self) -> Parameters:
        """The parameters of the function."""
        return self._parameters

    @property
    def space(self) -> SearchSpace:
        """The file's `SPACE`; empty if it has none."""
        return self._space

    @property
    def tags(self) -> Mapping[str, str]:
        """Name and hash of the file."""
        return {
            run_tags.MODEL_FILE: f"{self.path.as_posix()}:{self.function_name}",
            run_tags.MODEL_FILE_HASH: self.hash,
        }

    @property
    def files(self) -> Mapping[str, str]:
        """The text of the file."""
        return {self.path.name: self._text}

    def default_point(self, *, feature_count: int) -> ParameterValues:
        """Return the defaults of the function."""
        del feature_count
        return self.parameters.defaults

    def task(self, rows: Rows, values: ParameterValues) -> Task:
        """Return the kind of the estimator that `build` returns. For `fit`, the target says what is likely."""
        return targets.task_of(rows.target) if self._fits else estimators.task_of(self._build(values, seed=0))

    def needs_cluster(self, values: ParameterValues, *, row_count: int) -> bool:
        """Whether the function builds a large forest."""
        return not self._fits and fitting.needs_cluster(self._build(values, seed=0), row_count=row_count)

    def fit(
        self,
        rows: Rows,
        values: ParameterValues,
        *,
        seed: int,
        workers: RayWorkers | None = None,
        n_jobs: int | None = None,
        is_trial: bool = False,
    ) -> BaseEstimator:
        """Fit the model; see `ModelDefinition.fit`.

        Raises:
            ModelCodeError: The function or the fit raises an exception, or the function returns something else.
            ParameterError: The rows have weights, and the model takes none.
        """
        if self._fits:
            return self._call_fit(rows, values)
        estimator = self._build(values, seed=seed)
        if is_trial:
            estimators.limit_trees(estimator)
        with user_code(self.path.resolve().parent, doing=f"The model of {self.label} cannot be fitted"):
            return fitting.fit(estimator, rows, workers=workers, n_jobs=n_jobs)

    def describe(self, model: BaseEstimator) -> str:
        """Return the class of the estimator and the file."""
        while isinstance(model, Pipeline):
            model = model.steps[-1][1]
        return f"{type(model).__name__} of {self.label}"

    def _build(self, values: ParameterValues, *, seed: int) -> BaseEstimator:
        with user_code(self.path.resolve().parent, doing=f"{self.label} failed"):
            built = self._function(**values)
        return estimators.set_seeds(estimators.check_unfitted(built, owner=self.label), seed)

    def _call_fit(self, rows: Rows, values: ParameterValues) -> BaseEstimator:
        weights = {self._weights_name: rows.weights} if self._weights_name else {}
        if rows.weights is not None and not weights:
            raise ParameterError(
                f"--weight was given, and {self.label} takes no weights.",
                allowed=f"a parameter named {' or '.join(WEIGHT_PARAMETERS)}",
                next_step="Add the parameter, or drop --weight.",
            )
        with user_code(self.path.resolve().parent, doing=f"{self.label} failed"):
            fitted = self._function(_copy(rows.features), _copy(rows.target), **weights, **values)
        return estimators.check_fitted(fitted, owner=self.label)


def _copy(data: pd.DataFrame | pd.Series) -> pd.DataFrame | pd.Series:
    """Copy data, so that a user's function that changes it does not change the data of the run."""
    return data.copy()


def _find_function(module: ModuleType, name: str, file_name: str) -> Callable[..., object]:
    names = [name] if name else list(DEFAULT_FUNCTIONS)
    found = next((getattr(module, entry) for entry in names if hasattr(module, entry)), None)
    if not callable(found):
        functions = [
            entry
            for entry, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__
        ]
        raise ModelCodeError(
            f"{file_name} has no function {' or '.join(names)}.",
            allowed=", ".join(functions) or "a file with a function build() that returns an estimator",
            next_step=f"Name the function: --model {file_name}:FUNCTION",
        )
    return cast("Callable[..., object]", found)


def _parameter_names(function: Callable[..., object]) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except ValueError as error:
        raise ModelCodeError(
            f"{function!r} has no readable signature.", next_step="Write a function that calls it."
        ) from error


def _load_in_worker(path: Path, absolute_path: Path, function_name: str, expected_hash: str) -> Any:  # noqa: ANN401 - `__reduce__` needs a function
    """Import the file in a worker: relative to the job's working directory, or at its place on this machine.

    Raises:
        ModelCodeError: The worker has no such file, or has another one.
    """
    candidates = [place for place in (path, absolute_path) if place.is_file()]
    if not candidates or source.file_hash(candidates[0]) != expected_hash:
        raise ModelCodeError(
            f"A worker of the cluster does not have {path}, or has another content in it.",
            next_step="Submit the job with the folder of the file as its working directory: manta train, or "
            "ray job submit --working-dir .",
        )
    return FileDefinition(candidates[0], function_name)

"""What training asks of every model, whether it is the default forest or a user's file."""

from collections.abc import Mapping
from typing import Protocol

from sklearn.base import BaseEstimator

from app.training.data.dataset import Rows, Task
from app.training.models.parameters import Parameters, ParameterValues
from app.training.models.search_space import SearchSpace
from app.training.ray_cluster import RayWorkers


class ModelDefinition(Protocol):
    """A model with parameters that training can fit. It travels to the workers of a search."""

    label: str
    """Name of the model in messages, such as `model.py:build`."""

    @property
    def parameters(self) -> Parameters:
        """The parameters of the model."""

    @property
    def space(self) -> SearchSpace:
        """Search space of `--trials` without `--space`; empty if there is none."""

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of the run that say where the model comes from."""

    @property
    def files(self) -> Mapping[str, str]:
        """Texts of the files that define the model, by name; they become artifacts of the run."""

    def default_point(self, *, feature_count: int) -> ParameterValues:
        """Return the defaults as a search space writes them."""

    def task(self, rows: Rows, values: ParameterValues) -> Task:
        """Return what the model predicts, as far as it is known before the fit."""

    def needs_cluster(self, values: ParameterValues, *, row_count: int) -> bool:
        """Whether the model is worth a fit on the cluster."""

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
        """Fit the model.

        Args:
            rows: The training rows.
            values: A value for every parameter.
            seed: Seed of everything random.
            workers: The CPUs of the cluster; None fits in this process.
            n_jobs: Number of threads for a forest that is fitted in this process.
            is_trial: Whether an ensemble gets a few trees only, because its model is thrown away.
        """

    def describe(self, model: BaseEstimator) -> str:
        """Describe a fitted model in a few words."""

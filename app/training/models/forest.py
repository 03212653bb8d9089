"""The default model: scikit-learn's random forest, a classifier or a regressor."""

from collections.abc import Mapping

from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from app.training.data.dataset import Rows, Task
from app.training.models import fitting
from app.training.models.estimators import limit_trees
from app.training.models.forest_parameters import LABELS, SPACES, forest_parameters
from app.training.models.parameters import Parameters, ParameterValues
from app.training.models.search_space import SearchSpace
from app.training.ray_cluster import RayWorkers


class ForestDefinition:
    """A random forest that training can fit.

    Args:
        task: A classifier or a regressor.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self.label = LABELS[task]

    @property
    def parameters(self) -> Parameters:
        """The parameters of the forest."""
        return forest_parameters(self._task)

    @property
    def space(self) -> SearchSpace:
        """Search space of `--trials` without `--space`."""
        return SPACES[self._task]

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of the run that say where the model comes from: none for a forest."""
        return {}

    @property
    def files(self) -> Mapping[str, str]:
        """Files that define the model: none for a forest."""
        return {}

    def default_point(self, *, feature_count: int) -> ParameterValues:
        """Return scikit-learn's defaults as numbers, which a search space has where the defaults are words or None."""
        max_features = feature_count**0.5 / feature_count if self._task == "classification" else 1.0
        return self.parameters.defaults | {"max_features": max_features, "max_samples": 1.0}

    def task(self, rows: Rows, values: ParameterValues) -> Task:
        """Return the kind of the forest."""
        del rows, values
        return self._task

    def needs_cluster(self, values: ParameterValues, *, row_count: int) -> bool:
        """Whether the forest is worth a fit on the cluster."""
        return fitting.needs_cluster(self._build(values, seed=0), row_count=row_count)

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
        """Fit the forest; see `ModelDefinition.fit`."""
        forest = self._build(values, seed=seed)
        if is_trial:
            limit_trees(forest)
        return fitting.fit(forest, rows, workers=workers, n_jobs=n_jobs)

    def describe(self, model: BaseEstimator) -> str:
        """Return the number of trees."""
        return f"Random forest with {model.n_estimators} trees"

    def _build(self, values: ParameterValues, *, seed: int) -> BaseEstimator:
        forest = RandomForestClassifier if self._task == "classification" else RandomForestRegressor
        return forest(**values, random_state=seed)

"""The options of a training run, shared by the job itself and by the command that submits it."""

from collections.abc import Callable
from typing import Annotated, Final

import typer
from pydantic import BaseModel, ConfigDict

from app.errors import ParameterError
from app.training.hyperparameters import ClassWeight, Criterion, parse_space

DATA: Final = "Data"
FOREST: Final = "Forest"
GATE: Final = "Gate"
SEARCH: Final = "Search"
SYNTHETIC: Final = "Synthetic data (sets the forest too)"

METRICS: Final = ("accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss", "brier")
"""What `--metric` takes: the figures of `app.training.evaluation.report`."""

FOLDS: Final = 5
"""Parts of the training rows, of which a trial leaves each out once to score it."""

DATA_SOURCES: Final = ("dataset", "data", "synthetic")
"""Options that say where the rows come from; at most one of them is set."""

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
"""Options of the forest, and scikit-learn's names for them."""


class TrainOptions(BaseModel):
    """What a training run is asked to do; None stands for the default that `app.training.job` decides.

    Raises:
        ParameterError: From `check`, where two options exclude each other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str | None = None
    data: str | None = None
    target: str | None = None
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
    metric: str = "balanced_accuracy"
    margin: float = 0.0
    no_promote: bool = False
    force: bool = False
    trials: int | None = None
    folds: int | None = None
    space: str | None = None
    resume: str | None = None
    timeout: float = 600.0

    def check(self) -> None:
        """Refuse options that exclude each other, before anything is read or submitted."""
        sources = [flag(name) for name in DATA_SOURCES if getattr(self, name)]
        if len(sources) > 1:
            raise ParameterError(
                f"{' and '.join(sources)} were given together.", allowed="one source of data", next_step="Drop one."
            )
        if (self.data is None) != (self.target is None):
            raise ParameterError(
                "--data and --target belong together.", next_step="Give the file and its column of labels."
            )
        excluded = ("trees", "max_depth", "max_features") if self.synthetic else ("width", "height", "steps")
        given = [flag(name) for name in excluded if getattr(self, name) is not None]
        if given:
            raise ParameterError(
                f"{', '.join(given)} cannot be used {'with' if self.synthetic else 'without'} --synthetic.",
                next_step="--width, --height and --steps set both synthetic data and forest; --trees, --max-depth "
                "and --max-features set the forest for every other data.",
            )
        self._check_gate()
        self._check_search()

    def forest(self) -> dict[str, object]:
        """The forest's parameters that were given, by scikit-learn's names."""
        given = {theirs: getattr(self, ours) for ours, theirs in FOREST_OPTIONS.items()}
        return {name: value for name, value in given.items() if value is not None}

    def _check_gate(self) -> None:
        if self.metric not in METRICS:
            raise ParameterError(f"There is no metric {self.metric!r}.", allowed=", ".join(METRICS))
        if self.no_promote and self.force:
            raise ParameterError("--no-promote and --force were given together.", next_step="Drop one.")

    def _check_search(self) -> None:
        needless = [flag(name) for name in SEARCH_OPTIONS[1:] if getattr(self, name) is not None]
        if self.trials is None and needless:
            raise ParameterError(
                f"{', '.join(needless)} cannot be used without --trials.", next_step="Say how many: --trials 30."
            )
        space = parse_space(self.space)
        both = [flag(ours) for ours, theirs in FOREST_OPTIONS.items() if getattr(self, ours) and theirs in space]
        if self.trials is not None and self.space is not None and both:
            raise ParameterError(
                f"{', '.join(both)} is given, and --space searches it, too.", next_step="Drop it here or there."
            )
        if self.trials is not None and set(space) <= self.forest().keys():
            raise ParameterError(
                "Every parameter of the space is given, so that nothing is left to search.",
                next_step="Drop --trials, or the option of a parameter that is to be searched.",
            )

    def argv(self) -> list[str]:
        """The command line that gives these options again."""
        words: list[str] = []
        for name, value in self.model_dump(exclude_defaults=True).items():
            words += [flag(name)] if value is True else [flag(name), str(value)]
        return words


DEFAULTS: Final = TrainOptions()


def flag(name: str) -> str:
    """The option's name on the command line."""
    return "--" + name.replace("_", "-")


def command(run: Callable[[TrainOptions], None], *, help_text: str) -> Callable[..., None]:
    """Make a command that takes every training option and hands them, checked, to `run`."""

    def train(
        dataset: Annotated[
            str | None,
            typer.Option(help="Bundled real data: breast-cancer, digits or wine.", rich_help_panel=DATA),
        ] = None,
        data: Annotated[
            str | None,
            typer.Option(help="CSV or Parquet file: path, http(s) URL or dvc:PATH@REV.", rich_help_panel=DATA),
        ] = None,
        target: Annotated[
            str | None, typer.Option(help="Column of --data that holds the labels.", rich_help_panel=DATA)
        ] = None,
        test_size: Annotated[
            float, typer.Option(min=0.01, max=0.99, help="Share of the rows held out.", rich_help_panel=DATA)
        ] = DEFAULTS.test_size,
        trees: Annotated[
            int | None, typer.Option(min=1, max=10_000, help="Trees; 100 by default.", rich_help_panel=FOREST)
        ] = None,
        max_depth: Annotated[
            int | None, typer.Option(min=1, max=1_000, help="Levels a tree; no limit.", rich_help_panel=FOREST)
        ] = None,
        max_features: Annotated[
            float | None,
            typer.Option(min=0.01, max=1, help="Share of features a split; square root.", rich_help_panel=FOREST),
        ] = None,
        min_samples_leaf: Annotated[
            int | None, typer.Option(min=1, max=1_000_000, help="Rows a leaf; 1 by default.", rich_help_panel=FOREST)
        ] = None,
        criterion: Annotated[
            Criterion | None, typer.Option(help="What a split betters; gini by default.", rich_help_panel=FOREST)
        ] = None,
        class_weight: Annotated[
            ClassWeight | None, typer.Option(help="Weights of classes; all alike.", rich_help_panel=FOREST)
        ] = None,
        max_samples: Annotated[
            float | None,
            typer.Option(min=0.001, max=1, help="Rows drawn a tree, as a share; all.", rich_help_panel=FOREST),
        ] = None,
        seed: Annotated[
            int, typer.Option(min=0, max=2**32 - 1, help="Of split, forest and search.", rich_help_panel=FOREST)
        ] = DEFAULTS.seed,
        metric: Annotated[
            str, typer.Option(help=f"What gate and search compare: {', '.join(METRICS)}.", rich_help_panel=GATE)
        ] = DEFAULTS.metric,
        margin: Annotated[
            float, typer.Option(min=0, help="By how much a model must beat the champion.", rich_help_panel=GATE)
        ] = DEFAULTS.margin,
        no_promote: Annotated[  # noqa: FBT002 - a flag on the command line
            bool, typer.Option("--no-promote", help="Let the gate judge, and change nothing.", rich_help_panel=GATE)
        ] = False,
        force: Annotated[  # noqa: FBT002
            bool, typer.Option("--force", help="Promote whatever the gate says.", rich_help_panel=GATE)
        ] = False,
        trials: Annotated[
            int | None,
            typer.Option(min=1, max=10_000, help="Search the forest's parameters first.", rich_help_panel=SEARCH),
        ] = None,
        folds: Annotated[
            int | None,
            typer.Option(
                min=2, max=20, help=f"Folds of the training rows; {FOLDS} by default.", rich_help_panel=SEARCH
            ),
        ] = None,
        space: Annotated[
            str | None, typer.Option(help="JSON: a range or choices for each parameter.", rich_help_panel=SEARCH)
        ] = None,
        resume: Annotated[
            str | None, typer.Option(help="Id of a run whose search was cut off.", rich_help_panel=SEARCH)
        ] = None,
        timeout: Annotated[
            float, typer.Option(min=0, help="Seconds to wait for a free CPU of the cluster.")
        ] = DEFAULTS.timeout,
        synthetic: Annotated[  # noqa: FBT002
            bool, typer.Option("--synthetic", help="Make a two-class problem.", rich_help_panel=SYNTHETIC)
        ] = False,
        width: Annotated[
            int | None,
            typer.Option(min=1, max=10_000, help="Trees, at least 10; 50 by default.", rich_help_panel=SYNTHETIC),
        ] = None,
        height: Annotated[
            int | None,
            typer.Option(min=1, max=1_000, help="Levels, at least 2; 25 by default.", rich_help_panel=SYNTHETIC),
        ] = None,
        steps: Annotated[
            int | None,
            typer.Option(min=0, max=100_000, help="Rows and features; 100 by default.", rich_help_panel=SYNTHETIC),
        ] = None,
    ) -> None:
        options = TrainOptions(**{name: value for name, value in locals().items() if name != "run"})
        options.check()
        run(options)

    train.__doc__ = help_text
    return train

"""The command line of a training run, for the job itself and for the command that submits it.

`app.training.options` checks which options can be used together.
"""

from collections.abc import Callable
from typing import Annotated, Final

import typer

from app.training.evaluation.metrics import DEFAULT_METRICS, metric_names
from app.training.models.forest_parameters import ClassWeight, Criterion
from app.training.options import DEFAULT_FOLDS, TrainOptions

DATA_PANEL: Final = "Data"
MODEL_PANEL: Final = "Model"
FOREST_PANEL: Final = "Forest (without --model)"
GATE_PANEL: Final = "Gate"
SEARCH_PANEL: Final = "Search"
SYNTHETIC_PANEL: Final = "Synthetic data (also sets the forest)"

DEFAULTS: Final = TrainOptions()


def create_command(run: Callable[[TrainOptions], None], *, help_text: str) -> Callable[..., None]:
    """Create a command that takes every training option, checks the options and passes them to `run`."""

    def train(
        dataset: Annotated[
            str | None,
            typer.Option(
                help="Bundled data set: breast-cancer, diabetes, digits, iris or wine "
                "(default: MANTA_DATASET, else breast-cancer).",
                rich_help_panel=DATA_PANEL,
            ),
        ] = None,
        data: Annotated[
            str | None,
            typer.Option(
                help="CSV or Parquet file, or folder of Parquet files: path, https://, s3://, gs://, abfs:// "
                "or dvc:PATH@REV. Or your function that returns a DataFrame: data.py:load. Or the labelled rows that "
                "the service predicted: log:30d.",
                rich_help_panel=DATA_PANEL,
            ),
        ] = None,
        target: Annotated[
            str | None,
            typer.Option(
                help="Column of --data to predict (for log:PERIOD: a name for the labels; default: label).",
                rich_help_panel=DATA_PANEL,
            ),
        ] = None,
        group: Annotated[
            str | None,
            typer.Option(
                help="Column of --data whose equal values stay on one side of the split, such as a customer.",
                rich_help_panel=DATA_PANEL,
            ),
        ] = None,
        time: Annotated[
            str | None,
            typer.Option(help="Column of --data with times; the newest rows are held out.", rich_help_panel=DATA_PANEL),
        ] = None,
        weight: Annotated[
            str | None,
            typer.Option(
                help="Column of --data that says how much a row counts in the fit and in the metrics.",
                rich_help_panel=DATA_PANEL,
            ),
        ] = None,
        add_log: Annotated[
            str | None,
            typer.Option(
                metavar="PERIOD",
                help="Also train on the labelled rows that the service predicted in this period, such as 30d; with "
                "--time only on those that are later than the data.",
                rich_help_panel=DATA_PANEL,
            ),
        ] = None,
        test_size: Annotated[
            float,
            typer.Option(min=0.01, max=0.99, help="Share of the rows in the test set.", rich_help_panel=DATA_PANEL),
        ] = DEFAULTS.test_size,
        model: Annotated[
            str | None,
            typer.Option(
                metavar="FILE.py[:FUNCTION]",
                help="Your model: a function build() that returns an unfitted scikit-learn estimator, or a function "
                "fit(features, target) that returns a fitted one (default: a random forest).",
                rich_help_panel=MODEL_PANEL,
            ),
        ] = None,
        set_: Annotated[
            list[str] | None,
            typer.Option(
                "--set",
                metavar="NAME=VALUE",
                help="Parameter of your function; can be repeated.",
                rich_help_panel=MODEL_PANEL,
            ),
        ] = None,
        name: Annotated[
            str | None,
            typer.Option(
                help="Name of the registered model (default: MANTA_MODEL_NAME). Every data set needs its own.",
                rich_help_panel=MODEL_PANEL,
            ),
        ] = None,
        seed: Annotated[
            int,
            typer.Option(
                min=0, max=2**32 - 1, help="Seed of the split, the model and the search.", rich_help_panel=MODEL_PANEL
            ),
        ] = DEFAULTS.seed,
        trees: Annotated[
            int | None,
            typer.Option(min=1, max=10_000, help="Number of trees (default: 100).", rich_help_panel=FOREST_PANEL),
        ] = None,
        max_depth: Annotated[
            int | None,
            typer.Option(
                min=1, max=1_000, help="Maximum tree depth (default: unlimited).", rich_help_panel=FOREST_PANEL
            ),
        ] = None,
        max_features: Annotated[
            float | None,
            typer.Option(
                min=0.01,
                max=1,
                help="Share of the features to consider at each split (default: their square root).",
                rich_help_panel=FOREST_PANEL,
            ),
        ] = None,
        min_samples_leaf: Annotated[
            int | None,
            typer.Option(
                min=1,
                max=1_000_000,
                help="Minimum number of rows in a leaf (default: 1).",
                rich_help_panel=FOREST_PANEL,
            ),
        ] = None,
        criterion: Annotated[
            Criterion | None,
            typer.Option(
                help="Split criterion (default: gini, or squared_error for numbers).", rich_help_panel=FOREST_PANEL
            ),
        ] = None,
        class_weight: Annotated[
            ClassWeight | None,
            typer.Option(help="Class weights (default: all classes weigh 1).", rich_help_panel=FOREST_PANEL),
        ] = None,
        max_samples: Annotated[
            float | None,
            typer.Option(
                min=0.001,
                max=1,
                help="Share of the rows to draw for each tree (default: as many rows as the training set has).",
                rich_help_panel=FOREST_PANEL,
            ),
        ] = None,
        metric: Annotated[
            str | None,
            typer.Option(
                help=f"Metric of the gate and the search: {', '.join(metric_names())} (default: "
                f"{DEFAULT_METRICS['classification']}, for a regressor {DEFAULT_METRICS['regression']}).",
                rich_help_panel=GATE_PANEL,
            ),
        ] = None,
        margin: Annotated[
            float,
            typer.Option(
                help="Minimum improvement over the champion; below 0: how much worse the model may be.",
                rich_help_panel=GATE_PANEL,
            ),
        ] = DEFAULTS.margin,
        no_promote: Annotated[  # noqa: FBT002 - a flag on the command line
            bool,
            typer.Option(
                "--no-promote", help="Register the version, but do not change the champion.", rich_help_panel=GATE_PANEL
            ),
        ] = False,
        no_reference: Annotated[  # noqa: FBT002 - a flag on the command line
            bool,
            typer.Option(
                "--no-reference",
                help="Store neither statistics nor rows of the data with the version. `manta drift` needs them.",
                rich_help_panel=DATA_PANEL,
            ),
        ] = False,
        force: Annotated[  # noqa: FBT002 - a flag on the command line
            bool,
            typer.Option("--force", help="Promote the version even if the gate fails.", rich_help_panel=GATE_PANEL),
        ] = False,
        trials: Annotated[
            int | None,
            typer.Option(
                min=1,
                max=10_000,
                help="Search the model's parameters first, with this many trials.",
                rich_help_panel=SEARCH_PANEL,
            ),
        ] = None,
        folds: Annotated[
            int | None,
            typer.Option(
                min=2,
                max=20,
                help=f"Cross-validation folds of a trial (default: {DEFAULT_FOLDS}).",
                rich_help_panel=SEARCH_PANEL,
            ),
        ] = None,
        space: Annotated[
            str | None,
            typer.Option(
                help="Search space as JSON: a range or a list of choices for each parameter.",
                rich_help_panel=SEARCH_PANEL,
            ),
        ] = None,
        resume: Annotated[
            str | None,
            typer.Option(help="Id of the run whose search was interrupted.", rich_help_panel=SEARCH_PANEL),
        ] = None,
        timeout: Annotated[
            float, typer.Option(min=0, help="Seconds to wait for a free CPU on the cluster.")
        ] = DEFAULTS.timeout,
        synthetic: Annotated[  # noqa: FBT002 - a flag on the command line
            bool,
            typer.Option(
                "--synthetic", help="Train on a generated two-class problem.", rich_help_panel=SYNTHETIC_PANEL
            ),
        ] = False,
        width: Annotated[
            int | None,
            typer.Option(
                min=1, max=10_000, help="Number of trees, at least 10 (default: 50).", rich_help_panel=SYNTHETIC_PANEL
            ),
        ] = None,
        height: Annotated[
            int | None,
            typer.Option(
                min=1, max=1_000, help="Maximum tree depth, at least 2 (default: 25).", rich_help_panel=SYNTHETIC_PANEL
            ),
        ] = None,
        steps: Annotated[
            int | None,
            typer.Option(
                min=0,
                max=100_000,
                help="Sets the number of rows and the share of features at each split (default: 100).",
                rich_help_panel=SYNTHETIC_PANEL,
            ),
        ] = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "run"}
        options = TrainOptions(**given | {"set_": tuple(set_ or ())})
        options.check()
        run(options)

    train.__doc__ = help_text
    return train

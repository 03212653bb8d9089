import pytest
from typer.testing import CliRunner

from app.command import single_command_app
from app.errors import ParameterError
from app.settings import Settings
from app.training import job, options
from app.training.hyperparameters import Forest
from app.training.options import TrainOptions


def parse(*argv: str) -> TrainOptions:
    """The options that a command line gives."""
    seen: list[TrainOptions] = []
    answer = CliRunner().invoke(single_command_app(options.command(seen.append, help_text="Train.")), list(argv))
    if answer.exception and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    assert answer.exit_code == 0, answer.output
    return seen[0]


def test_the_command_line_of_options_gives_the_same_options_again() -> None:
    space = '{"max_depth": {"low": 2, "high": 9}}'
    chosen = TrainOptions(
        data="x y.csv",
        target="a b",
        trees=7,
        max_features=0.5,
        class_weight="balanced",
        test_size=0.3,
        seed=1,
        metric="log_loss",
        margin=0.01,
        no_promote=True,
        trials=4,
        space=space,
        resume="abc",
        timeout=5,
    )

    assert parse(*chosen.argv()) == chosen


def test_a_flag_survives_the_command_line() -> None:
    assert parse("--synthetic", "--width", "12").argv() == ["--synthetic", "--width", "12"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--dataset", "wine", "--data", "x.csv", "--target", "y"], "--dataset and --data were given together"),
        (["--dataset", "wine", "--synthetic"], "--dataset and --synthetic were given together"),
        (["--data", "x.csv"], "--data and --target belong together"),
        (["--target", "y"], "--data and --target belong together"),
        (["--width", "5"], "--width cannot be used without --synthetic"),
        (["--synthetic", "--trees", "5"], "--trees cannot be used with --synthetic"),
        (["--metric", "auc"], "no metric 'auc'. Allowed: accuracy, balanced_accuracy"),
        (["--force", "--no-promote"], "--no-promote and --force were given together"),
        (["--folds", "3", "--space", "{}"], "--folds, --space cannot be used without --trials"),
        (["--trials", "3", "--criterion", "gini", "--space", '{"criterion": ["gini"]}'], "--space searches it, too"),
    ],
)
def test_options_that_exclude_each_other_are_refused(argv: list[str], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parse(*argv)


@pytest.mark.parametrize(
    "argv",
    [
        ["--trees", "-5"],
        ["--trees", "1000000000"],
        ["--max-depth", "0"],
        ["--max-features", "1.5"],
        ["--test-size", "1"],
        ["--seed", "-1"],
        ["--width", "-1", "--synthetic"],
        ["--steps", "many", "--synthetic"],
    ],
)
def test_a_value_outside_its_range_is_a_wrong_command_line(argv: list[str]) -> None:
    answer = CliRunner().invoke(single_command_app(options.command(lambda _: None, help_text="Train.")), argv)

    assert answer.exit_code == 2
    assert argv[0] in answer.output


@pytest.mark.parametrize(
    ("chosen", "trees", "depth", "features", "rows"),
    [
        (TrainOptions(synthetic=True), 50, 25, 0.5, 1500),
        (TrainOptions(synthetic=True, width=1, height=1, steps=0), 10, 2, 0.3, 500),
        (TrainOptions(synthetic=True, width=70, height=9, steps=1000), 70, 9, 1.0, 5000),
    ],
)
def test_width_height_and_steps_mean_what_they_meant_in_the_original(
    chosen: TrainOptions, trees: int, depth: int, features: float, rows: int
) -> None:
    dataset, forest = job.plan(chosen, Settings())

    assert (forest.n_estimators, forest.max_depth) == (trees, depth)
    assert forest.max_features == pytest.approx(features)
    assert len(dataset.target) == rows


def test_the_configured_data_set_is_the_default() -> None:
    dataset, forest = job.plan(TrainOptions(), Settings(dataset="wine"))

    assert dataset.name == "wine"
    assert forest == Forest(n_estimators=100, max_depth=None, max_features="sqrt")

import pytest
from typer.testing import CliRunner

from app.command import single_command_app
from app.errors import ParameterError
from app.settings import Settings
from app.training.command_line import create_command
from app.training.inputs import read_inputs
from app.training.models.forest import ForestDefinition
from app.training.options import TrainOptions


def parse(*argv: str) -> TrainOptions:
    """Parse a command line into options."""
    parsed: list[TrainOptions] = []
    result = CliRunner().invoke(single_command_app(create_command(parsed.append, help_text="Train.")), list(argv))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return parsed[0]


def test_options_survive_the_round_trip_through_a_command_line() -> None:
    space = '{"max_depth": {"low": 2, "high": 9}}'
    options = TrainOptions(
        data="x y.csv",
        target="a b",
        trees=7,
        max_features=0.5,
        class_weight="balanced",
        name="houses",
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

    assert parse(*options.argv()) == options


def test_the_options_of_an_own_model_survive_the_round_trip() -> None:
    options = TrainOptions(model="model.py:build", set_=("depth=5", "word=a b"), name="houses", dataset="wine")

    assert options.argv() == [
        *("--dataset", "wine", "--name", "houses", "--model", "model.py:build"),
        *("--set", "depth=5", "--set", "word=a b"),
    ]
    assert parse(*options.argv()) == options


def test_the_added_rows_of_the_log_survive_the_round_trip() -> None:
    assert parse("--dataset", "wine", "--add-log", "7d").argv() == ["--dataset", "wine", "--add-log", "7d"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--add-log", "soon"], "The period 'soon' cannot be used.*For example: --add-log 30d"),
        (["--add-log", "7d", "--data", "log:7d"], "--add-log and --data log:7d were given together"),
        (
            ["--add-log", "7d", "--data", "a.csv", "--target", "b", "--group", "c", "--weight", "d"],
            "--group, --weight cannot be used with --add-log",
        ),
    ],
)
def test_rows_of_the_log_that_cannot_be_added_are_refused(argv: list[str], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parse(*argv)


def test_a_flag_becomes_an_argument_without_a_value() -> None:
    assert parse("--synthetic", "--width", "12").argv() == ["--synthetic", "--width", "12"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--dataset", "wine", "--data", "x.csv", "--target", "y"], "--dataset and --data were given together"),
        (["--dataset", "wine", "--synthetic"], "--dataset and --synthetic were given together"),
        (["--data", "x.csv"], "--data and --target belong together"),
        (["--target", "y"], "--data and --target belong together"),
        (["--data", "log:1y"], r"The period '1y' cannot be used\..*--data log:30d"),
        (["--width", "5"], "--width cannot be used without --synthetic"),
        (["--synthetic", "--trees", "5"], "--trees cannot be used with --synthetic"),
        (["--metric", "auc"], "no metric 'auc'. Allowed: accuracy, balanced_accuracy"),
        (["--model", "model.py", "--trees", "5"], r"--trees cannot be used with --model.*--set n_estimators=5"),
        (["--set", "depth=5"], r"--set cannot be used without --model.*--trees"),
        (["--model", "model.txt"], "is no Python file. Allowed: FILE.py or FILE.py:FUNCTION"),
        (["--model", "model.py", "--synthetic"], "--model and --synthetic were given together"),
        (["--name", "a/b"], "The name 'a/b' cannot be used"),
        (
            ["--model", "m.py", "--set", "c=1", "--trials", "3", "--space", '{"c": [1], "d": [2]}'],
            "--set c is given, and --space searches it too",
        ),
        (["--force", "--no-promote"], "--no-promote and --force were given together"),
        (["--folds", "3", "--space", "{}"], "--folds, --space cannot be used without --trials"),
        (["--trials", "3", "--criterion", "gini", "--space", '{"criterion": ["gini"]}'], "--space searches it too"),
    ],
)
def test_options_that_cannot_be_used_together_are_refused(argv: list[str], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parse(*argv)


def test_the_prediction_log_needs_no_target() -> None:
    assert parse("--data", "log:30d").target is None
    assert parse("--data", "log:30d", "--target", "sold", "--time", "time").target == "sold"


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
def test_a_value_outside_its_range_exits_with_code_2(argv: list[str]) -> None:
    result = CliRunner().invoke(single_command_app(create_command(lambda _: None, help_text="Train.")), argv)

    assert result.exit_code == 2
    assert argv[0] in result.output


@pytest.mark.parametrize(
    ("options", "tree_count", "max_depth", "max_features", "row_count"),
    [
        (TrainOptions(synthetic=True), 50, 25, 0.5, 1500),
        (TrainOptions(synthetic=True, width=1, height=1, steps=0), 10, 2, 0.3, 500),
        (TrainOptions(synthetic=True, width=70, height=9, steps=1000), 70, 9, 1.0, 5000),
    ],
)
def test_width_height_and_steps_set_the_synthetic_data_and_the_forest(
    options: TrainOptions, tree_count: int, max_depth: int, max_features: float, row_count: int
) -> None:
    inputs = read_inputs(options, Settings())

    assert (inputs.parameters["n_estimators"], inputs.parameters["max_depth"]) == (tree_count, max_depth)
    assert inputs.parameters["max_features"] == pytest.approx(max_features)
    assert len(inputs.dataset.rows.target) == row_count


def test_the_data_set_in_the_settings_is_the_default() -> None:
    inputs = read_inputs(TrainOptions(), Settings(dataset="wine"))

    assert inputs.dataset.name == "wine"
    assert inputs.parameters == ForestDefinition("classification").parameters.defaults

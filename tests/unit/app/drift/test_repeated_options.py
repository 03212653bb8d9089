"""The options of a retraining, from the run of the champion."""

import shlex
from pathlib import Path

import pytest

from app.drift.repeated_options import NotRepeatableError, repeated_options, with_log
from app.training.options import TrainOptions


def repeat(*argv: str, model: str = "default", dataset: str = "wine") -> TrainOptions:
    tags = {"train.arguments": shlex.join(argv)}
    return repeated_options("r1", tags, {"dataset": dataset}, model=model, default_model="default")


def test_the_options_of_the_run_are_repeated() -> None:
    url = "https://example.com/a b.csv"
    options = TrainOptions(
        data=url, target="sold", group="customer", trees=7, metric="log_loss", margin=-0.5, seed=0, timeout=5
    )

    assert repeat(*options.argv()) == options


@pytest.mark.parametrize("once", [["--force"], ["--no-promote"], ["--trials", "3", "--resume", "r0"]])
def test_options_that_made_sense_once_are_not_repeated(once: list[str]) -> None:
    options = repeat("--dataset", "iris", *once)

    assert (options.force, options.no_promote, options.resume) == (False, False, None)
    assert options.dataset == "iris"


def test_a_search_is_repeated() -> None:
    assert repeat("--dataset", "iris", "--trials", "3", "--folds", "4").argv()[2:] == ["--trials", "3", "--folds", "4"]


def test_the_name_of_the_default_model_is_left_out_and_that_of_another_model_is_given() -> None:
    assert repeat("--dataset", "iris", "--name", "default").name is None
    assert repeat("--dataset", "iris", model="boats").name == "boats"


def test_a_run_without_a_source_repeats_the_default_data_set_of_that_time() -> None:
    assert repeat("--trees", "7").dataset == "wine"
    assert repeat().dataset == "wine"
    assert repeat("--synthetic").dataset is None


@pytest.mark.parametrize(
    "data", ["https://example.com/a.csv", "http://a/b.parquet", "s3://bucket/a.csv", "gs://bucket/folder", "log:30d"]
)
def test_urls_and_the_log_can_be_read_again(data: str) -> None:
    assert repeat("--data", data, "--target", "sold").data == data


def test_files_that_exist_where_the_jobs_run_can_be_read_again(tmp_path: Path) -> None:
    file, code = tmp_path / "a b.csv", tmp_path / "model.py"
    file.touch()
    code.touch()

    options = repeat("--data", str(file), "--target", "sold", "--model", f"{code}:build")

    assert (options.data, options.model) == (str(file), f"{code}:build")
    assert repeat("--data", f"{code}:load", "--target", "sold").data == f"{code}:load"
    # DVC may have the file although the working tree does not.
    assert repeat("--data", f"dvc:{tmp_path}/b.csv@v1", "--target", "sold").data == f"dvc:{tmp_path}/b.csv@v1"


@pytest.mark.parametrize("data", ["houses.csv", "data.py:load", "dvc:houses.csv@v1", "folder"])
def test_data_that_was_uploaded_for_one_job_cannot_be_read_again(data: str) -> None:
    with pytest.raises(NotRepeatableError) as refused:
        repeat("--data", data, "--target", "sold")

    assert str(refused.value) == (
        f"No job can read the data of the run r1: {data} was uploaded for one job. Put the data where a job can read "
        "it, and train once with manta train --data URL. Or train on a schedule: key trainSchedule."
    )


def test_a_file_that_exists_in_the_folder_of_the_job_by_chance_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "houses.csv").touch()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(NotRepeatableError, match="was uploaded for one job"):
        repeat("--data", "houses.csv", "--target", "sold")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["--data", "/nowhere/a.csv", "--target", "sold"],
            "read the data of the run r1: /nowhere/a.csv does not exist",
        ),
        (["--data", "dvc:/nowhere/a.csv", "--target", "sold"], "dvc:/nowhere/a.csv does not exist here"),
        (["--model", "model.py:build"], "read the model of the run r1: model.py:build was uploaded for one job"),
        (["--model", "/nowhere/model.py"], "/nowhere/model.py does not exist here"),
        (["--option-of-another-release", "1"], "does not take the options of the run r1: No such option"),
        (["--trees", "many"], "does not take the options of the run r1"),
        (["--trees", "7", "--synthetic"], "does not take the options of the run r1"),
    ],
)
def test_a_training_that_no_job_can_repeat_is_refused(argv: list[str], message: str) -> None:
    with pytest.raises(NotRepeatableError, match=message):
        repeat(*argv)


def test_arguments_that_a_shell_cannot_parse_are_refused() -> None:
    with pytest.raises(NotRepeatableError, match="No closing quotation"):
        repeated_options("r1", {"train.arguments": "--data 'x"}, {}, model="m", default_model="m")


def test_a_model_that_was_registered_from_a_file_has_no_training_to_repeat() -> None:
    with pytest.raises(NotRepeatableError, match="The run r1 is no run of manta train"):
        repeated_options("r1", {"model.source": "model.skops"}, {}, model="m", default_model="m")


@pytest.mark.parametrize(
    ("options", "held_out", "period", "sentence"),
    [
        (
            TrainOptions(dataset="wine"),
            "hash of the row",
            "30d",
            "The data is wine and the labelled rows of the last 30d.",
        ),
        (
            TrainOptions(dataset="wine", add_log="7d"),
            "",
            "7d",
            "The data is wine and the labelled rows of the last 7d.",
        ),
        (TrainOptions(data="log:90d"), "", None, "The data is log:90d."),
        (
            TrainOptions(data="s3://b/a.csv", target="b", time="c"),
            "rows after 2026-11-01T00:00:00.000000 in column c",
            "30d",
            "The data is s3://b/a.csv and the labelled rows of the last 30d that are later.",
        ),
        (
            TrainOptions(data="s3://b/a.csv", target="b", time="c"),
            "rows after 2015.0 in column c",
            None,
            "The data is s3://b/a.csv, without rows of the log, which lacks the column of --time.",
        ),
        (
            TrainOptions(data="s3://b/a.csv", target="b", group="c", weight="d"),
            "hash of the group",
            None,
            "The data is s3://b/a.csv, without rows of the log, which lacks the column of --group, --weight.",
        ),
    ],
)
def test_the_labelled_rows_of_the_log_are_added_where_they_can_be(
    options: TrainOptions, held_out: str, period: str | None, sentence: str
) -> None:
    added, data = with_log(options, are_columns_left_out=False, held_out=held_out)

    assert (added.add_log, data) == (period, sentence)
    added.check()


def test_a_log_of_some_columns_only_is_not_added() -> None:
    added, data = with_log(TrainOptions(dataset="wine"), are_columns_left_out=True, held_out="")

    assert added.add_log is None
    assert data == "The data is wine, without rows of the log, which keeps some columns only."

"""Logs that a version cannot answer, in part or at all."""

from datetime import timedelta

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from app.errors import DataError, LogOffError, ModelNotFoundError
from app.replay import job
from app.settings import Settings
from tests.support.logged_requests import LoggedVersions
from tests.support.replayed_models import CODES, FOREST, LABELS, ROWS, STUMPS, versions
from tests.unit.app.replay.conftest import Replayer


def test_columns_that_the_log_does_not_hold_are_an_error_that_names_them(replay: Replayer) -> None:
    logged = versions(FOREST, FOREST)
    logged.answer("1", ROWS.head(5), kept=["mean radius", "mean area"])

    with pytest.raises(DataError) as caught:
        replay(logged)

    assert str(caught.value) == (
        "The rows of version 1 cannot be replayed: the log does not hold the columns 'mean texture', 'mean perimeter' "
        "for them. Choose a period in which the log holds the columns of version 2. The key predictionLogColumns of "
        "the stack names the columns that the service logs."
    )


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ("1", "the log holds text in the columns 'mean area', and the version takes numbers"),
        ("2", "the log holds numbers in the columns 'mean area', and the version takes text or dates"),
    ],
)
def test_a_column_of_another_type_is_an_error(replay: Replayer, then: str, reason: str) -> None:
    text = ROWS.assign(**{"mean area": ROWS["mean area"].astype(str)})
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(text, LABELS)
    logged = LoggedVersions((model, text), (FOREST, ROWS))
    logged.answer(then, (text if then == "1" else ROWS).head(5))

    with pytest.raises(DataError, match=reason):
        replay(logged, "2" if then == "1" else "1")


@pytest.mark.parametrize(
    ("then", "now", "reason"),
    [
        ("classes", "numbers", "they were answered with classes, and the version answers numbers"),
        ("numbers", "classes", "they were answered with numbers, and the version answers classes"),
    ],
)
def test_answers_of_another_kind_are_an_error(replay: Replayer, then: str, now: str, reason: str) -> None:
    models = {
        "classes": RandomForestClassifier(2, random_state=0).fit(ROWS, CODES),
        "numbers": LinearRegression().fit(ROWS, CODES),
    }
    logged = versions(models[then], models[now])
    logged.answer("1", ROWS.head(5))

    with pytest.raises(DataError, match=reason):
        replay(logged)


def test_another_number_of_outputs_is_an_error(replay: Replayer) -> None:
    targets = np.column_stack([ROWS["mean area"], ROWS["mean radius"]])
    logged = versions(LinearRegression().fit(ROWS, targets[:, 0]), LinearRegression().fit(ROWS, targets))
    logged.answer("1", ROWS.head(5))

    with pytest.raises(DataError, match="The version answers 2 values per row, and 1 were answered then"):
        replay(logged)


def test_versions_whose_rows_do_not_fit_are_left_out_and_named(replay: Replayer) -> None:
    fewer = ROWS.drop(columns="mean area")
    logged = LoggedVersions((STUMPS, ROWS), (RandomForestClassifier(2).fit(fewer, LABELS), fewer), (FOREST, ROWS))
    logged.answer("1", ROWS.head(5))
    logged.answer("2", fewer.head(7))

    result = replay(logged, "3")

    assert (result.answered_by, result.figures.rows, result.logged_rows) == ({"1": 5}, 5, 12)
    reason = "the log does not hold the columns 'mean area' for them"
    assert result.notes == [f"The rows of version 2 cannot be replayed: {reason}."]


def test_columns_that_the_version_does_not_take_are_named(replay: Replayer) -> None:
    fewer = ROWS.drop(columns="mean area")
    logged = LoggedVersions((FOREST, ROWS), (RandomForestClassifier(2).fit(fewer, LABELS), fewer))
    logged.answer("1", ROWS.head(5))

    assert replay(logged).notes == ["Version 2 does not take the columns 'mean area' of the logged rows."]


def test_a_period_without_rows_is_an_error(replay: Replayer) -> None:
    with pytest.raises(DataError, match=r"The prediction log has no row of 'm' since 20\d\d-.* UTC\. Name a longer"):
        replay(versions(FOREST, FOREST))


def test_a_version_that_does_not_exist_is_an_error(replay: Replayer) -> None:
    with pytest.raises(ModelNotFoundError, match="There is no version 9 of 'm'"):
        replay(versions(FOREST), "9")


def test_without_a_log_there_is_an_error() -> None:
    with pytest.raises(LogOffError, match=r"There is no prediction log to replay\. Say where it is: --log mlflow"):
        job.run(Settings(model_name="m"), version="1", period=timedelta(days=1))

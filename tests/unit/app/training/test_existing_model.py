from pathlib import Path

import joblib
import pytest
import skops.io
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression, Ridge

from app.errors import DataError, MantaError, ModelRefusedError, ParameterError
from app.settings import settings
from app.training import existing_model
from app.training.existing_model import RegisterOptions

WINE = load_wine(as_frame=True).frame


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """A model of wines, stored with skops."""
    model = LogisticRegression(max_iter=5000).fit(WINE.drop(columns="target"), WINE["target"])
    skops.io.dump(model, tmp_path / "model.skops")
    return tmp_path / "model.skops"


def refusal(location: Path, rows: Path, target: str = "target", metric: str | None = None) -> MantaError:
    options = RegisterOptions(location=str(location), data=str(rows), target=target, metric=metric)
    with pytest.raises(MantaError) as error:
        existing_model.register(options, settings())
    return error.value


def test_a_pickle_is_refused_before_it_is_read(tmp_path: Path) -> None:
    joblib.dump(LogisticRegression(), tmp_path / "model.joblib")

    error = refusal(tmp_path / "model.joblib", tmp_path / "rows.csv")

    assert isinstance(error, ModelRefusedError)
    assert "is a pickle" in error.detail
    assert "skops.io.dump" in error.next_step


def test_rows_without_a_column_of_the_model_are_an_error(tmp_path: Path, model_file: Path) -> None:
    WINE.drop(columns=["alcohol", "hue"]).to_csv(tmp_path / "rows.csv", index=False)

    error = refusal(model_file, tmp_path / "rows.csv")

    assert isinstance(error, DataError)
    assert "lacks columns of the model: alcohol, hue." in error.detail


def test_a_model_without_names_needs_rows_of_its_width(tmp_path: Path) -> None:
    features = WINE.drop(columns="target").to_numpy()
    skops.io.dump(Ridge().fit(features, features[:, 0]), tmp_path / "model.skops")
    WINE.drop(columns="hue").to_csv(tmp_path / "rows.csv", index=False)

    error = refusal(tmp_path / "model.skops", tmp_path / "rows.csv")

    assert "has 12 columns beside the target, and the model takes 13" in error.detail


def test_a_metric_of_the_other_task_is_an_error(tmp_path: Path, model_file: Path) -> None:
    WINE.to_csv(tmp_path / "rows.csv", index=False)

    error = refusal(model_file, tmp_path / "rows.csv", metric="rmse")

    assert isinstance(error, ParameterError)
    assert "is for regression" in error.detail


def test_a_file_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.skops").write_text("text")

    assert isinstance(refusal(tmp_path / "model.skops", tmp_path / "rows.csv"), ModelRefusedError)

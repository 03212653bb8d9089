import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow.sklearn
import pytest
import yaml
from mlflow.models import Model
from pydantic import SecretStr
from sklearn.base import BaseEstimator
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from app.errors import ModelRefusedError
from app.models import artifact
from app.models.formats import signed_pickle
from app.models.formats.storable import check_storable
from app.models.predictor import compile_model
from app.settings import Settings
from tests.support.own_steps import Scaler
from tests.support.stored_models import save, wine

KEY = "k" * 40
OTHER_KEY = "o" * 40


@pytest.fixture
def set_key(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    def change(key: str | None) -> None:
        changed = Settings(model_key=SecretStr(key) if key else None)
        monkeypatch.setattr(signed_pickle, "settings", lambda: changed)

    return change


@pytest.fixture
def model() -> BaseEstimator:
    rows, target = wine()
    return make_pipeline(Scaler(), GaussianNB()).fit(rows, target)


@pytest.fixture
def stored(model: BaseEstimator, set_key: Callable[[str | None], None], tmp_path: Path) -> Path:
    """The files of a model that was signed for the registered model `wine`."""
    rows, _ = wine()
    set_key(KEY)
    signed = signed_pickle.sign(model, registered_name="wine", run_id="1" * 32)
    return save(lambda _, path, **options: signed.save_model(path, Model(), **options), model, rows, tmp_path)


def change_flavor(folder: Path, **changes: str) -> None:
    file = folder / "MLmodel"
    content = yaml.safe_load(file.read_text())
    content["flavors"][signed_pickle.FLAVOR] |= changes
    file.write_text(yaml.safe_dump(content))


def test_a_model_with_an_own_transformer_predicts_as_before(stored: Path, model: BaseEstimator) -> None:
    rows, _ = wine()

    answers = compile_model(artifact.read(stored, label="wine version 1"), label="m").predict(rows.to_numpy())

    assert answers.predictions.tolist() == model.predict(rows).tolist()


def test_the_file_needs_no_module_of_the_user(stored: Path) -> None:
    program = (
        "import pickle, sys\n"
        f"model = pickle.load(open({str(stored / signed_pickle.FILE)!r}, 'rb'))\n"
        "assert 'tests' not in sys.modules\n"
        "print(model.predict([[1.0] * 13]))"
    )

    result = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("key", [None, OTHER_KEY])
def test_a_pickle_is_refused_before_it_is_read_without_the_key_that_signed_it(
    key: str | None, stored: Path, set_key: Callable[[str | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_key(key)
    monkeypatch.setattr("pickle.loads", lambda _: pytest.fail("the file was unpickled"))

    with pytest.raises(ModelRefusedError, match="did not sign" if key else "allowPickle"):
        artifact.read(stored, label="m")


@pytest.mark.parametrize("offset", [0, 100, -1])
def test_a_changed_byte_is_refused_before_the_file_is_read(
    offset: int, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = stored / signed_pickle.FILE
    content = bytearray(file.read_bytes())
    content[offset] ^= 1
    file.write_bytes(content)
    monkeypatch.setattr("pickle.loads", lambda _: pytest.fail("the file was unpickled"))

    with pytest.raises(ModelRefusedError, match="did not sign"):
        artifact.read(stored, label="m")


@pytest.mark.parametrize(
    "changes",
    [
        {"registered_name": "other"},
        {"run_id": "0" * 32},
        {"signature": ""},
        {"signature": "0" * 64},
        {"python_minor": "3.99"},
    ],
    ids=str,
)
def test_a_forged_signature_is_refused(changes: dict[str, str], stored: Path) -> None:
    change_flavor(stored, **changes)

    with pytest.raises(ModelRefusedError, match="did not sign"):
        artifact.read(stored, label="m")


def test_a_version_of_another_registered_model_is_refused(stored: Path) -> None:
    storage = artifact.read(stored, label="m").storage

    with pytest.raises(ModelRefusedError, match="signed for the registered model 'wine'"):
        signed_pickle.check_name(storage, "other", label="m")


def test_a_pickle_of_mlflow_is_refused_although_pickles_are_allowed(
    model: BaseEstimator, set_key: Callable[[str | None], None], tmp_path: Path
) -> None:
    rows, _ = wine()
    set_key(KEY)
    folder = save(mlflow.sklearn.save_model, model, rows, tmp_path, serialization_format="cloudpickle")

    with pytest.raises(ModelRefusedError, match="stored as cloudpickle"):
        artifact.read(folder, label="m")


def test_without_the_key_a_model_with_an_own_transformer_is_refused_with_its_step_and_the_ways_out(
    model: BaseEstimator, set_key: Callable[[str | None], None]
) -> None:
    set_key(None)

    with pytest.raises(ModelRefusedError, match=r"own_steps\.Scaler \(step scaler\).*ONNX.*allowPickle true"):
        check_storable(model, owner="model.py:build")

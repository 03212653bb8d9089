"""The user's file: what may stand in it, and what the errors say."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from app.errors import ParameterError
from app.training.data.dataset import Rows
from app.training.models import source
from app.training.models.code_errors import ModelCodeError
from app.training.models.model_file import FileDefinition
from app.training.models.search_space import Range
from tests.unit.app.training.models.conftest import WriteModel

IRIS = load_iris(as_frame=True)
ROWS = Rows(features=IRIS.data, target=IRIS.target)

BUILD = """
from sklearn.linear_model import LogisticRegression

SPACE = {"c": {"low": 0.01, "high": 10, "log": True}, "penalty": [None, "l2"]}

def build(c: float = 1.0, penalty: str | None = "l2", random_state: int | None = None):
    return LogisticRegression(C=c, l1_ratio=0, max_iter=500, random_state=random_state)
"""

FIT = """
from sklearn.linear_model import LogisticRegression

def fit(features, target, c: float = 1.0, sample_weight=None):
    del features[features.columns[0]]
    return LogisticRegression(C=c, max_iter=500).fit(features, target, sample_weight)
"""


def fit(definition: FileDefinition, rows: Rows = ROWS, **values: object) -> BaseEstimator:
    return definition.fit(rows, definition.parameters.complete(values, seed=7), seed=7)


def test_build_is_called_with_the_parameters_and_the_seed(write_model: WriteModel) -> None:
    definition = write_model(BUILD)

    model = fit(definition, c=0.5)

    assert (model.C, model.random_state) == (0.5, 7)
    assert definition.label == "own_model.py:build"
    assert definition.space == {"c": Range(low=0.01, high=10, log=True), "penalty": [None, "l2"]}
    expected = LogisticRegression(C=0.5, l1_ratio=0, max_iter=500).fit(ROWS.features, ROWS.target)
    np.testing.assert_array_equal(model.coef_, expected.coef_)


def test_a_seed_is_set_in_every_step_that_has_none(write_model: WriteModel) -> None:
    definition = write_model(
        "from sklearn.decomposition import PCA\nfrom sklearn.ensemble import RandomForestClassifier\n"
        "from sklearn.pipeline import make_pipeline\n"
        "def build():\n"
        "    return make_pipeline(PCA(2), RandomForestClassifier(5, random_state=3))\n"
    )

    model = fit(definition)

    assert (model["pca"].random_state, model["randomforestclassifier"].random_state) == (7, 3)


def test_a_function_of_features_and_target_fits_with_weights_and_cannot_change_the_rows(
    write_model: WriteModel,
) -> None:
    definition = write_model(FIT)
    weights = pd.Series(np.linspace(0.1, 2, len(ROWS)))
    rows = Rows(features=IRIS.data, target=IRIS.target, weights=weights)

    model = fit(definition, rows, c=0.1)

    expected = LogisticRegression(C=0.1, max_iter=500).fit(IRIS.data.iloc[:, 1:], IRIS.target, weights)
    assert rows.features.shape[1] == 4
    assert definition.parameters.names == ["c"]
    np.testing.assert_array_equal(model.coef_, expected.coef_)


def test_a_worker_imports_the_file_again_and_refuses_another_content(write_model: WriteModel) -> None:
    definition = write_model(BUILD)

    copied = pickle.loads(pickle.dumps(definition))  # noqa: S301 - what the test itself pickled
    definition.path.write_text(BUILD + "# changed\n")

    assert copied.hash == definition.hash
    with pytest.raises(ModelCodeError, match="has another content"):
        pickle.loads(pickle.dumps(definition))  # noqa: S301 - what the test itself pickled


def test_a_file_next_to_the_model_can_be_imported(write_model: WriteModel, tmp_path: Path) -> None:
    (tmp_path / "own_steps.py").write_text("from sklearn.linear_model import LogisticRegression as Model\n")

    definition = write_model("import own_steps\n\ndef build():\n    return own_steps.Model(max_iter=500)\n")

    assert isinstance(fit(definition), LogisticRegression)
    assert {module.__name__ for module in source.local_modules(tmp_path)} == {"own_model", "own_steps"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def build(:\n", 'own_model.py, line 1: "def build(:". SyntaxError'),
        ("import nowhere\n", 'own_model.py, line 1: "import nowhere". ModuleNotFoundError'),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
        ("def train():\n    pass\n", "own_model.py has no function build or fit. Allowed: train"),
        ("SPACE = {'c': 5}\ndef build(c=1):\n    pass\n", "The search space SPACE in own_model.py cannot be read"),
        ("SPACE = {'d': [5]}\ndef build(c=1):\n    pass\n", "own_model.py:build has no parameter 'd'. Allowed: c"),
        ("SPACE = {'c': ['a']}\ndef build(c=1):\n    pass\n", "c contains 'a', which own_model.py:build does not"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_that_names_the_line(
    write_model: WriteModel, text: str, message: str
) -> None:
    with pytest.raises((ModelCodeError, ParameterError)) as error:
        write_model(text)

    assert message in str(error.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("LogisticRegression(d=1)", 'own_model.py, line 4, in build: "return LogisticRegression(d=1)". TypeError'),
        ("None", "returns None"),
        ("LogisticRegression", "returns the class LogisticRegression"),
        ("'forest'", "returns a str, which is no estimator"),
        ("StandardScaler()", "returns a StandardScaler that is neither a classifier nor a regressor"),
        ("make_pipeline(StandardScaler())", "returns a Pipeline that is neither a classifier nor a regressor"),
        ("LogisticRegression().fit([[0], [1]], [0, 1])", "returns a fitted LogisticRegression"),
    ],
)
def test_a_build_that_returns_no_unfitted_estimator_is_refused(
    write_model: WriteModel, body: str, message: str
) -> None:
    imports = "from sklearn.linear_model import LogisticRegression\nfrom sklearn.pipeline import make_pipeline\n"
    scaler = "from sklearn.preprocessing import StandardScaler; "
    definition = write_model(f"{imports}{scaler}\ndef build(): return {body}\n".replace("(): ", "():\n    "))

    with pytest.raises(ModelCodeError) as error:
        fit(definition)

    assert message.replace("line 4", "line 5") in str(error.value)


def test_a_fit_that_returns_an_unfitted_estimator_is_refused(write_model: WriteModel) -> None:
    definition = write_model(
        "from sklearn.linear_model import LogisticRegression\ndef fit(X, y):\n    return LogisticRegression()\n"
    )

    with pytest.raises(ModelCodeError, match="LogisticRegression that is not fitted"):
        fit(definition)


@pytest.mark.parametrize(
    "text",
    [
        "from sklearn.neighbors import KNeighborsClassifier\ndef build():\n    return KNeighborsClassifier()\n",
        "def fit(features, target):\n    pass\n",
    ],
    ids=["build", "fit"],
)
def test_weights_that_the_model_does_not_take_are_refused(write_model: WriteModel, text: str) -> None:
    rows = Rows(features=IRIS.data, target=IRIS.target, weights=pd.Series(np.ones(len(ROWS))))

    with pytest.raises(ParameterError, match="takes no weights"):
        fit(write_model(text), rows)


def test_a_file_with_the_name_of_an_installed_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pandas.py").write_text(BUILD)

    with pytest.raises(ModelCodeError, match=r"pandas\.py has the name of another module"):
        FileDefinition(tmp_path / "pandas.py")


def test_a_file_that_changes_while_it_is_imported_is_refused(write_model: WriteModel) -> None:
    with pytest.raises(ModelCodeError, match="changed while it was imported"):
        write_model(f"from pathlib import Path\n{BUILD}\nPath(__file__).write_text('')\n")


def test_the_text_and_the_hash_of_a_run_are_those_of_the_imported_file(write_model: WriteModel) -> None:
    definition = write_model(BUILD)

    definition.path.write_text("raise SystemExit")

    assert definition.files == {"own_model.py": BUILD}
    assert definition.tags["model.file_sha256"] == hashlib.sha256(BUILD.encode()).hexdigest()


@pytest.mark.parametrize("name", ["my-model.py", "model.txt", "app.py"])
def test_a_file_name_that_cannot_be_imported_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(BUILD)

    with pytest.raises(ModelCodeError, match="cannot be imported because of its name"):
        FileDefinition(tmp_path / name)

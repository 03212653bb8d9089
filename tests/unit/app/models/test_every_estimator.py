"""Every estimator of scikit-learn is stored and loaded, and predicts as before, unless the docs say that it cannot."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator
from skops.io.exceptions import UnsupportedTypeException
from threadpoolctl import threadpool_limits

from app.models import artifact
from app.models.artifact import Artifact
from app.models.frames import to_rows
from app.models.predictor import compile_model
from app.models.signature import infer_columns
from tests.support import every_estimator
from tests.support.every_estimator import REFUSED

DOCS = Path(__file__).parents[4] / "docs/explanation/estimators.md"


def fitted(name: str) -> tuple[BaseEstimator, every_estimator.Data]:
    model, (rows, target) = every_estimator.unfitted(name)
    # With several threads, a small fit waits longest for its threads.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few rows and few iterations
        return model.fit(rows, target), (rows, target)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(set(every_estimator.names()) - REFUSED.keys()))
def test_an_estimator_predicts_after_the_load_as_it_did_before(name: str, tmp_path: Path) -> None:
    model, (rows, _) = fitted(name)
    skops.io.dump(model, tmp_path / "model")
    columns = infer_columns(rows)
    stored = Artifact(
        model=artifact.load_estimator(tmp_path / "model", name),
        columns=columns,
        example=rows.head(5),
        example_predictions=model.predict(rows.head(5)).tolist(),
        example_probabilities=None,
        example_labels=[],
    )

    answers = compile_model(stored, label=name).predict(to_rows(rows, columns))

    expected = {"predictions": model.predict(rows)}
    if answers.std is not None:
        expected["std"] = model.predict(rows, return_std=True)[1]
    if hasattr(model, "predict_proba"):
        expected["probabilities"] = model.predict_proba(rows)
    elif answers.decision is not None:
        expected["decision"] = model.decision_function(rows)
    for answer, values in expected.items():
        given = answers.output_probabilities if isinstance(values, list) else getattr(answers, answer)
        assert same(given, values), answer


def same(given: object, expected: object) -> bool:
    """Whether answers are equal. Sums of BLAS depend on where an array lies in memory, in their last bits."""
    left, right = np.asarray(given), np.asarray(expected)
    return np.array_equal(left, right) or (left.dtype.kind == "f" and np.allclose(left, right, rtol=1e-12, atol=1e-12))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_stored_is_refused(name: str) -> None:
    model, _ = fitted(name)

    with pytest.raises(UnsupportedTypeException):
        skops.io.dumps(model)


def test_the_docs_have_the_table_of_what_cannot_be_stored() -> None:
    lines = DOCS.read_text().splitlines()

    assert [
        f"| `{name}` | {reason} |"
        for name, reason in REFUSED.items()
        if not any(line.startswith(f"| `{name}` | {reason} |") for line in lines)
    ] == []

"""Versions for the tests of rollouts: of the platform's own model one that raises, a slow one and two good ones.

The module is run as a program in a separate process, so that the warnings of libraries do not fail a test. Its argument
is the URL of MLflow.
"""

import json
import sys
from dataclasses import asdict, dataclass

from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from app.training.data.sources import load_bundled
from tests.support import fleet_models
from tests.support.module_process import run_module

DATA = load_bundled("breast-cancer").rows
ROWS, LABELS = DATA.features.head(100), DATA.target.head(100)
UNKNOWN = ROWS.iloc[0].to_numpy().tolist()
UNKNOWN[0] += 0.123456789
"""A row whose first value the version that raises does not know."""


NAMED = "rolled-out-model"
"""Another registered model, which has two good versions."""


@dataclass(frozen=True)
class Challengers:
    """The numbers of the registered versions."""

    raising: str
    slow: str
    good: str
    equal: str
    """A version with the same model as `good`."""
    named: tuple[str, ...]
    """The versions of `NAMED`."""


def register_all(url: str) -> Challengers:
    """Register all versions."""
    known = make_column_transformer(
        (OneHotEncoder(sparse_output=False, handle_unknown="error"), [ROWS.columns[0]]), remainder=StandardScaler()
    )
    models = (
        make_pipeline(known, LogisticRegression()),
        make_pipeline(StandardScaler(), BaggingClassifier(LogisticRegression(), n_estimators=40, random_state=0)),
        RandomForestClassifier(n_estimators=10, random_state=0),
    )
    raising, slow, good = (fleet_models.register(url, model.fit(ROWS, LABELS), ROWS, LABELS) for model in models)
    equal = fleet_models.register(url, models[-1], ROWS, LABELS)
    named = [fleet_models.register(url, models[-1], ROWS, LABELS, name=NAMED) for _ in range(2)]
    return Challengers(raising=raising, slow=slow, good=good, equal=equal, named=tuple(named))


def register_in_subprocess(url: str) -> Challengers:
    """Register all versions in a separate process."""
    return Challengers(**json.loads(run_module(__name__, url)))


if __name__ == "__main__":
    print(json.dumps(asdict(register_all(sys.argv[1]))))  # noqa: T201 - read by `register_in_subprocess`

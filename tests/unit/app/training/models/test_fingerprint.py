import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from app.training.models.fingerprint import model_fingerprint

ROWS, LABELS = load_iris(return_X_y=True)
OTHER_ROWS = ROWS + np.random.default_rng(0).normal(scale=0.1, size=ROWS.shape)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(5, random_state=0),
        make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)),
        GradientBoostingClassifier(n_estimators=3, random_state=0),
        AdaBoostClassifier(n_estimators=3, random_state=0),
        StackingClassifier(
            [("svc", SVC()), ("tree", RandomForestClassifier(3, random_state=0))], LogisticRegression(max_iter=500)
        ),
        GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1]}, cv=2),
        KNeighborsClassifier(),
        MLPClassifier(4, max_iter=1000, random_state=0),
        SGDClassifier(random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_equal_fits_have_equal_fingerprints_and_other_rows_another_one(model: BaseEstimator) -> None:
    first, second = (model_fingerprint(clone(model).fit(ROWS, LABELS)) for _ in range(2))

    other = model_fingerprint(clone(model).fit(OTHER_ROWS, LABELS))

    assert first == second
    assert first != other

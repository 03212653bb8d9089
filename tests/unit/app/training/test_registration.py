from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from app.errors import DataError
from app.training import provenance, registration
from app.training.evaluation.promotion_gate import HeldOut, Terms
from app.training.registration import Candidate

FEATURES = pd.DataFrame(np.random.default_rng(1).normal(size=(40, 2)), columns=["a b", "labels"], index=range(5, 45))


@pytest.mark.parametrize("labels", [("yes", "no"), (1, 0)], ids=["text", "numbers"])
def test_what_is_kept_comes_back_as_it_was(tmp_path: Path, labels: tuple[str | int, str | int]) -> None:
    target = pd.Series([labels[value > 0] for value in FEATURES["a b"]], index=FEATURES.index, name="sold")
    target = target.astype(object) if isinstance(labels[0], str) else target
    candidate = Candidate(
        model=RandomForestClassifier(5, random_state=1).fit(FEATURES, target),
        rows=HeldOut(features=FEATURES, target=target, shares=target.value_counts(normalize=True).to_dict(), how="h"),
        terms=Terms(metric="f1", margin=0.01, force=True),
        promote=False,
        dataset="houses",
        tags={"data.fingerprint": "f"},
        params={"n_estimators": 5, "max_depth": None},
        fit_s=1.5,
    )

    registration.keep(candidate, run_id="r", folder=tmp_path)
    again, run_id = registration.restore(tmp_path)

    assert run_id == "r"
    assert provenance.fingerprint(again.model) == provenance.fingerprint(candidate.model)
    pd.testing.assert_frame_equal(again.rows.features, FEATURES)
    pd.testing.assert_series_equal(again.rows.target, target, check_names=False)
    assert again.rows.shares == candidate.rows.shares
    others = ("terms", "promote", "dataset", "tags", "params", "fit_s")
    assert [getattr(again, name) for name in others] == [getattr(candidate, name) for name in others]


def test_a_folder_that_holds_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no model that training kept"):
        registration.restore(tmp_path)

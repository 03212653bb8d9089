import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from app.records.reference import MAX_ROWS, MAX_TEXT_CHARS
from app.training import reference
from app.training.data.dataset import Rows
from app.training.evaluation.gate_decision import GateConfig
from app.training.evaluation.predictions import predict
from app.training.reference import FeatureSample

GENERATOR = np.random.default_rng(1)
FEATURES = pd.DataFrame(
    {
        "size": GENERATOR.normal(size=300),
        "ignored": GENERATOR.normal(size=300),
        "town": GENERATOR.choice(["x", "y"], size=300),
        "day": pd.date_range("2026-01-01", periods=300),
    }
)
GATE = GateConfig(metric="f1", margin=0.02, force=False)


def test_a_reference_describes_each_column_of_all_rows() -> None:
    features = FEATURES.assign(size=FEATURES["size"].where(FEATURES.index % 3 > 0))

    columns = {column.name: column for column in FeatureSample.of(features, source="training").columns}

    assert columns["size"].missing == pytest.approx(1 / 3)
    assert columns["size"].quantiles[50] == pytest.approx(features["size"].median())
    assert columns["size"].std == pytest.approx(features["size"].std(ddof=0))
    assert columns["town"].categories == features["town"].value_counts().to_dict()
    assert columns["day"].kind == "date"
    assert columns["day"].quantiles[0] == pd.Timestamp("2026-01-01").timestamp()


def test_a_reference_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = MAX_ROWS + 5
    features = pd.DataFrame({"number": range(rows), "text": [f"{index:0300}" for index in range(rows)]})

    sample = FeatureSample.of(features, source="training")

    assert sample.row_count == rows
    assert sample.rows.num_rows == MAX_ROWS
    assert len(sample.columns[1].categories) == 1
    assert set(map(len, sample.rows["feature.text"].to_pylist())) == {MAX_TEXT_CHARS}
    monkeypatch.setattr(reference, "MAX_CELLS", 40)
    assert FeatureSample.of(features, source="training").rows.num_rows == 20


def test_a_column_that_the_model_ignores_has_no_influence() -> None:
    model = LinearRegression().fit(FEATURES[["size"]], FEATURES["size"])
    used = make_pipeline(make_column_transformer(("passthrough", ["size"])), model)
    used.fit(FEATURES[["size", "ignored"]], FEATURES["size"])

    influences = reference.measure_influence(used, FEATURES[["size", "ignored"]])

    assert influences["ignored"] == 0
    assert influences["size"] > 0.5


def test_a_reference_holds_the_answers_and_labels_of_the_held_out_rows() -> None:
    features = FEATURES[["size", "town"]].astype({"town": "category"})
    target = pd.Series(np.where(FEATURES["size"] > 0, "big", "small"), name="kind")
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["town"]), remainder="passthrough"),
        RandomForestClassifier(5, random_state=0),
    ).fit(features, target)
    predicted = predict(model, features)

    built = reference.build(
        FeatureSample.of(features, source="training"), model, predicted, Rows(features=features, target=target), GATE
    )

    table = built.held_out.to_pandas()
    assert table.columns.tolist() == ["feature.size", "feature.town", "prediction", "probabilities", "label"]
    assert table["label"].tolist() == target.tolist()
    assert table["prediction"].tolist() == predicted.answers.tolist()
    assert predicted.probabilities is not None
    np.testing.assert_array_equal(np.stack(table["probabilities"].tolist()), predicted.probabilities)
    assert built.profile.classes == ["big", "small"]
    assert built.profile.held_out_count == 300
    assert [column.influence for column in built.profile.columns] != [None, None]

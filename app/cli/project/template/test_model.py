"""Tests of the model, without a platform: `pip install pytest`, then `python -m pytest`."""

from data import load
from model import build


def test_the_model_beats_the_mean() -> None:
    frame = load()
    features, target = frame.drop(columns="progression"), frame["progression"]

    model = build().fit(features[:300], target[:300])

    assert model.score(features[300:], target[300:]) > 0.2


def test_the_model_takes_missing_values_and_unknown_text() -> None:
    frame = load()
    model = build().fit(frame.drop(columns="progression"), frame["progression"])
    row = frame.drop(columns="progression").head(1).assign(bmi=float("nan"), sex="unknown")

    assert model.predict(row).shape == (1,)

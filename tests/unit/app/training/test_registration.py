import errno
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mlflow.entities.model_registry import ModelVersion
from sklearn.ensemble import RandomForestClassifier

from app import names
from app.errors import DataError
from app.models import artifact
from app.models.rollout_records import RolloutRecords
from app.models.version_choice import PROMOTE_TAG
from app.settings import Settings
from app.training import fitted_model, registration
from app.training.data.dataset import Rows
from app.training.evaluation import report
from app.training.evaluation.baseline import Baseline
from app.training.evaluation.gate_decision import GateConfig, GateDecision, HeldOutRows
from app.training.fitted_model import FittedModel
from app.training.models.fingerprint import model_fingerprint
from app.training.reference import FeatureSample

FEATURES = pd.DataFrame(np.random.default_rng(1).normal(size=(40, 2)), columns=["a b", "labels"], index=range(5, 45))


def fitted_forest(target: pd.Series, rows: Rows | None = None) -> FittedModel:
    return FittedModel(
        model=RandomForestClassifier(5, random_state=1).fit(FEATURES, target),
        held_out=HeldOutRows(
            rows=rows or Rows(features=FEATURES, target=target),
            baseline=Baseline.of(Rows(features=FEATURES, target=target), "f1"),
            split_description="0.2 of the rows",
        ),
        gate=GateConfig(metric="f1", margin=0.01, force=True),
        promote=False,
        dataset="houses",
        description="Random forest with 5 trees",
        tags={"data.fingerprint": "f"},
        params={"n_estimators": 5, "max_depth": None},
        fit_s=1.5,
        sample=FeatureSample.of(FEATURES, source="training"),
    )


@pytest.mark.parametrize("labels", [("yes", "no"), (1, 0)], ids=["text", "numbers"])
def test_a_saved_forest_is_restored_unchanged(tmp_path: Path, labels: tuple[str | int, str | int]) -> None:
    target = pd.Series([labels[value > 0] for value in FEATURES["a b"]], index=FEATURES.index, name="sold")
    target = target.astype(object) if isinstance(labels[0], str) else target
    forest = fitted_forest(target)

    fitted_model.save(forest, run_id="r", folder=tmp_path)
    restored, run_id = fitted_model.restore(tmp_path)

    assert run_id == "r"
    assert model_fingerprint(restored.model) == model_fingerprint(forest.model)
    pd.testing.assert_frame_equal(restored.held_out.rows.features, FEATURES)
    pd.testing.assert_series_equal(restored.held_out.rows.target, target, check_names=False)
    assert restored.held_out.baseline == forest.held_out.baseline
    assert restored.held_out.split_description == forest.held_out.split_description
    other_fields = ("gate", "promote", "dataset", "tags", "params", "fit_s")
    assert [getattr(restored, name) for name in other_fields] == [getattr(forest, name) for name in other_fields]
    assert restored.sample == forest.sample


def test_groups_times_and_weights_are_restored_with_the_rows(tmp_path: Path) -> None:
    index, target = FEATURES.index, pd.Series(FEATURES["a b"] > 0).astype(int)
    rows = Rows(
        features=FEATURES,
        target=target,
        groups=pd.Series(["a", 1] * 20, index=index, dtype=object),
        times=pd.Series(pd.date_range("2026-01-01", periods=40), index=index),
        weights=pd.Series(np.linspace(1, 2, 40), index=index),
    )

    fitted_model.save(fitted_forest(target, rows), run_id="r", folder=tmp_path)
    restored = fitted_model.restore(tmp_path)[0].held_out.rows

    assert restored.groups is not None
    assert restored.times is not None
    assert restored.weights is not None
    assert restored.groups.tolist() == ["a", "1"] * 20
    assert restored.times.tolist() == pd.date_range("2026-01-01", periods=40).tolist()
    assert restored.weights.tolist() == np.linspace(1, 2, 40).tolist()


def test_a_folder_without_a_saved_forest_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not contain a model that training saved"):
        fitted_model.restore(tmp_path)


def test_a_forest_that_cannot_be_saved_for_later_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", fail)
    forest = fitted_forest(pd.Series([value > 0 for value in FEATURES["a b"]], index=FEATURES.index).astype(int))

    next_step = registration.save_for_later(forest, run_id="r", settings=Settings())

    assert "cannot be saved for later: [Errno 28] No space left on device" in next_step
    assert "train again" in next_step


def test_the_command_that_registers_a_saved_forest_begins_a_rollout_as_the_job_would(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: str(tmp_path))
    forest = fitted_forest(pd.Series([value > 0 for value in FEATURES["a b"]], index=FEATURES.index).astype(int))

    next_step = registration.save_for_later(forest, run_id="r", settings=Settings(model_name="m", rollout="auto"))

    assert " MANTA_MODEL_NAME=m MANTA_ROLLOUT=auto " in next_step


@dataclass
class Aliases:
    """A registry that holds aliases and the tags of the registered version."""

    champion_number: str | None
    uri: str = "http://127.0.0.1:9"
    moved: dict[str, str] = field(default_factory=dict)
    """The aliases that were moved."""
    tags: dict[str, str] = field(default_factory=dict)

    def champion(self, name: str) -> ModelVersion | None:
        number = self.champion_number
        return None if number is None else ModelVersion(name=name, version=number, creation_timestamp=0)

    def register(self, name: str, *, model_uri: str, description: str, tags: dict[str, str]) -> ModelVersion:
        del model_uri, description
        self.tags = tags
        return ModelVersion(name=name, version="2", creation_timestamp=0)

    def promote(self, version: ModelVersion) -> None:
        self.moved[names.CHAMPION] = str(version.version)

    def record_promotion(self, version: ModelVersion) -> None:
        del version


@pytest.mark.parametrize(
    ("rollout", "verdict", "champion", "moved", "promote"),
    [
        ("manual", "passed", "1", {"champion": "2"}, "true"),
        ("auto", "passed", "1", {"challenger": "2"}, "false"),
        ("auto", "passed", None, {"champion": "2"}, "true"),
        ("auto", "forced", "1", {"champion": "2"}, "true"),
        ("auto", "failed", "1", {}, "true"),
    ],
    ids=["manual", "auto", "first version", "forced", "failed"],
)
def test_a_version_that_passes_becomes_champion_or_challenger(
    rollout: str,
    verdict: str,
    champion: str | None,
    moved: dict[str, str],
    promote: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = Aliases(champion)
    decision = GateDecision(
        verdict=verdict, metric="f1", margin=0.0, opponent="version 1", challenger_score=0.9, reason="Because."
    )
    nothing = dict.fromkeys(("log_params", "log_metrics", "log_figure", "set_tags"), lambda *_, **__: None)
    monkeypatch.setattr(registration, "mlflow", SimpleNamespace(**nothing))
    monkeypatch.setattr(artifact, "log", lambda *_, **__: "models:/m-1")
    monkeypatch.setattr(report, "draw_plots", lambda *_: [])
    shown: list[object] = []

    def judge(*_: object, shows_values: bool, **__: object) -> GateDecision:
        shown.append(shows_values)
        return decision

    monkeypatch.setattr(registration, "judge", judge)
    monkeypatch.setattr(RolloutRecords, "set_alias", lambda _, alias, version: registry.moved.update({alias: version}))
    target = pd.Series([value > 0 for value in FEATURES["a b"]], index=FEATURES.index).astype(int)
    fitted = replace(fitted_forest(target), promote=True, sample=None)

    result = registration.register(
        fitted,
        registry,  # type: ignore[arg-type] # what `register` needs of a registry
        Settings(rollout=rollout, show_examples=False),
        run_id="r",
    )

    assert shown == [False]
    assert registry.moved == moved
    assert registry.tags[PROMOTE_TAG] == promote
    assert (result.promoted, result.rollout) == ("champion" in moved, "challenger" in moved)

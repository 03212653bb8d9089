"""Models that were fitted elsewhere pass the same gate as every trained model."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import skops.io
from sklearn.datasets import load_diabetes, load_wine
from sklearn.ensemble import RandomForestClassifier

from tests.support.local import LocalFolder, clean_environment

ROOT = Path(__file__).parents[3]

NOTEBOOK = """
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
import manta

rows = load_diabetes(as_frame=True, scaled=False).frame
features, target = rows.drop(columns="target"), rows["target"]
print(manta.log_model(Ridge().fit(features[:300], target[:300]), features.head()))
"""


def register(local: LocalFolder, model: str, rows: Path, *options: str) -> dict[str, object]:
    process = local.run("register", model, "--data", str(rows), "--target", "target", *options)
    assert process.returncode == 0, process.stdout + process.stderr
    result: dict[str, object] = json.loads(process.stdout.splitlines()[-1])
    return result


@pytest.mark.usefixtures("no_champion")
class TestRegister:
    def test_a_file_passes_the_gate_and_serves(self, local: LocalFolder, api: httpx.Client, tmp_path: Path) -> None:
        wine = load_wine(as_frame=True).frame.sample(frac=1, random_state=0)
        features = wine.drop(columns="target")
        model = RandomForestClassifier(20, random_state=0).fit(features[:100], wine["target"][:100])
        skops.io.dump(model, tmp_path / "model.skops")
        wine[100:].to_csv(tmp_path / "test.csv", index=False)

        first = register(local, str(tmp_path / "model.skops"), tmp_path / "test.csv")
        second = register(local, str(tmp_path / "model.skops"), tmp_path / "test.csv")
        assert local.run("load").returncode == 0
        answer = api.post("/predict", json={"features": features[100:].to_numpy().tolist()}).raise_for_status().json()

        assert (first["gate"], first["promoted"]) == ("passed", True)
        assert (second["gate"], second["promoted"]) == ("failed", False)
        assert answer["predictions"] == model.predict(features[100:]).tolist()
        assert answer["probabilities"] == model.predict_proba(features[100:]).tolist()

    def test_a_model_of_a_notebook_passes_the_gate(self, local: LocalFolder, tmp_path: Path) -> None:
        rows = load_diabetes(as_frame=True, scaled=False).frame[300:]
        rows.to_parquet(tmp_path / "test.parquet")
        environment = {"MLFLOW_TRACKING_URI": local.endpoints.mlflow_url, "PYTHONPATH": str(ROOT)}

        notebook = subprocess.run(
            [sys.executable, "-c", NOTEBOOK],
            cwd=tmp_path,
            env=clean_environment() | environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert notebook.returncode == 0, notebook.stderr
        uri = next(line for line in notebook.stdout.splitlines() if line.startswith("models:/"))
        result = register(local, uri, tmp_path / "test.parquet", "--metric", "mae")

        assert (result["gate"], result["promoted"]) == ("passed", True)
        assert "answering the median" in str(result["reason"])

"""A new project trains, serves and passes its own tests as it is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.local import LocalFolder, clean_environment


@pytest.mark.usefixtures("no_champion")
def test_the_project_that_init_writes_trains_and_predicts(local: LocalFolder, tmp_path: Path) -> None:
    assert local.run("init", str(tmp_path / "new")).returncode == 0
    project = LocalFolder(tmp_path / "new")
    data = "import data; data.load().head(3).to_csv('rows.csv', index=False)"
    platform = ["--address", local.endpoints.ray_url, "--token", local.endpoints.ray_token]
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]

    for arguments in (tests, ["-c", data]):
        subprocess.run([sys.executable, *arguments], cwd=project.folder, env=clean_environment(), check=True)
    training = project.run(
        "train", "--model", "model.py:build", "--data", "data.py:load", "--target", "progression", *platform
    )
    assert training.returncode == 0, training.stdout + training.stderr
    load = local.run("load")
    prediction = local.run("predict", str(project.folder / "rows.csv"))

    assert load.returncode == 0, load.stderr
    assert json.loads(training.stdout.splitlines()[-1])["gate"] == "passed"
    header, *lines = prediction.stdout.splitlines()
    assert (prediction.returncode, header, len(lines)) == (0, "prediction", 3), prediction.stderr
    assert "columns that the model does not know are ignored: progression" in prediction.stderr

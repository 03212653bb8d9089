"""What training does beyond one fit: the gate moves the alias, a search resumes, and nothing fitted is lost."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from ray.job_submission import JobSubmissionClient
from sklearn.ensemble import RandomForestClassifier

from app.names import MODEL_NAME
from app.training import provenance
from app.training.data import sources, split
from tests.support.cut_registry import Door
from tests.support.local import MANTA, LocalFolder, RunningPlatform, clean_environment
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def registry(platform: RunningPlatform, local: LocalFolder) -> Iterator[MlflowClient]:
    """MLflow's client; the first version is the champion before and after."""
    assert platform.process.poll() is None
    client = MlflowClient(tracking_uri=local.endpoints.mlflow_url)
    yield client
    client.set_registered_model_alias(MODEL_NAME, "champion", "1")


def result(output: str) -> dict[str, Any]:
    """The last line of a job's output."""
    last: dict[str, Any] = json.loads(output.splitlines()[-1])
    return last


def trained(local: LocalFolder, *argv: str) -> dict[str, Any]:
    ended = local.run("train", *argv)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return result(ended.stdout)


def champion(client: MlflowClient) -> str:
    return str(client.get_model_version_by_alias(MODEL_NAME, "champion").version)


def trials(client: MlflowClient, run_id: str) -> list[Run]:
    experiment = client.get_run(run_id).info.experiment_id
    return list(client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'"))


class TestGate:
    """One after another: a worse model stays out, and `--force` lets it in until a better one comes."""

    def test_a_worse_model_does_not_become_the_champion(self, local: LocalFolder, registry: MlflowClient) -> None:
        registry.set_registered_model_alias(MODEL_NAME, "champion", "1")

        worse = trained(local, "--trees", "1", "--max-depth", "1")

        run, version = registry.get_run(worse["run_id"]), registry.get_model_version(MODEL_NAME, worse["version"])
        assert (worse["gate"], worse["promoted"], champion(registry)) == ("failed", False, "1")
        assert "version 1, the champion" in worse["reason"]
        scores = {f"gate_{name}" for name in ("challenger_score", "opponent_score", "difference", "low", "high")}
        assert scores <= run.data.metrics.keys()
        assert run.data.metrics["gate_low"] <= run.data.metrics["gate_difference"] < 0
        assert {run.data.tags["gate"], version.tags["gate"]} == {"failed"}
        assert version.tags["gate.opponent"] == "version 1, the champion"

    def test_force_makes_it_the_champion_and_the_service_follows(
        self, local: LocalFolder, registry: MlflowClient, api: httpx.Client
    ) -> None:
        worse = trained(local, "--trees", "1", "--max-depth", "1", "--force")

        assert (worse["gate"], worse["promoted"], champion(registry)) == ("passed", True, worse["version"])
        wait_until(lambda: api.get("/model").json()["model_info"]["version"] == worse["version"], what="the service")

    def test_a_better_model_takes_its_place_unless_told_otherwise(
        self, local: LocalFolder, registry: MlflowClient
    ) -> None:
        before = champion(registry)

        looked = trained(local, "--trees", "60", "--metric", "brier", "--no-promote")
        after_look = champion(registry)
        taken = trained(local, "--trees", "60", "--metric", "brier", "--margin", "0.001")

        assert (looked["gate"], looked["promoted"], after_look) == ("passed", False, before)
        assert (taken["gate"], taken["promoted"], champion(registry)) == ("passed", True, taken["version"])


def test_a_search_that_was_killed_goes_on_where_it_was(
    platform: RunningPlatform, local: LocalFolder, registry: MlflowClient
) -> None:
    argv = ["train", "--trials", "10", "--trees", "300", "--folds", "4", "--metric", "roc_auc", "--no-promote"]
    with (local.folder / "search.log").open("w") as log:
        cut_off = subprocess.Popen([MANTA, *argv], cwd=local.folder, stdout=log, stderr=log, env=clean_environment())
    output = local.folder / "search.log"
    wait_until(lambda: "trial 3 of 10" in output.read_text(), what="three trials", timeout_s=120)
    [driver] = [process for process in platform.descendants() if _runs_training(process)]
    driver.send_signal(signal.SIGKILL)
    assert cut_off.wait(timeout=60) != 0
    run_id = re.findall(r"goes on with --resume (\w+)", output.read_text())[0]
    before = {run.info.run_id for run in trials(registry, run_id) if "search.state" in run.data.tags}

    other = local.run(*argv, "--seed", "7", "--resume", run_id)
    resumed = local.run(*argv, "--resume", run_id)

    after = trials(registry, run_id)
    ended = [run for run in after if run.data.tags.get("search.state") in {"complete", "stopped early"}]
    assert other.returncode == 1
    assert "searched with another seed" in other.stdout + other.stderr
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert 3 <= len(before) < 10
    assert len(ended) == 10
    assert before < {run.info.run_id for run in ended}
    assert not [run for run in after if run.info.status == "RUNNING"]
    best = max((run for run in ended if run.data.tags["search.state"] == "complete"), key=_score)
    found = json.loads(best.data.tags["search.config"])
    chosen = registry.get_run(run_id).data.params
    assert {name: chosen[name] for name in found} == {name: str(value) for name, value in found.items()}
    assert result(resumed.stdout)["run_id"] == run_id


def test_trees_that_were_lost_with_their_worker_are_fitted_again_the_same(
    platform: RunningPlatform, local: LocalFolder
) -> None:
    rows = sources.make_synthetic(n_samples=20_000, seed=1)
    rows.features.assign(sold=rows.target).to_parquet(local.folder / "rows.parquet")
    argv = ["train", "--data", "rows.parquet", "--target", "sold", "--trees", "300", "--max-depth", "3", "--no-promote"]
    killed: list[int] = []

    def kill_one() -> bool:
        for process in platform.descendants():
            if not killed and "ray::fit_slice" in " ".join(_command(process)):
                killed.append(process.pid)
                os.kill(process.pid, signal.SIGKILL)
        return bool(killed) or running.poll() is not None

    with (local.folder / "lost.log").open("w") as log:
        running = subprocess.Popen([MANTA, *argv], cwd=local.folder, stdout=log, stderr=log, env=clean_environment())
    wait_until(kill_one, what="a worker that fits", timeout_s=120)
    assert running.wait(timeout=200) == 0, (local.folder / "lost.log").read_text()

    dataset = sources.read_file(str(local.folder / "rows.parquet"), target="sold")
    parts = split.split_dataset(dataset, test_size=0.2, seed=42)
    alone = RandomForestClassifier(300, max_depth=3, random_state=42, n_jobs=-1)
    alone.fit(parts.train_features, parts.train_target)
    assert killed
    assert result((local.folder / "lost.log").read_text())["fingerprint"] == provenance.forest_fingerprint(alone)


def test_a_cluster_without_free_cpus_is_waited_for_with_the_reason(
    local: LocalFolder, platform: RunningPlatform
) -> None:
    assert platform.process.poll() is None
    hold = "ray.get(ray.remote(num_cpus=ray.cluster_resources()['CPU'])(lambda: time.sleep(300)).remote())"
    client = JobSubmissionClient(local.endpoints.ray_url, headers=local.endpoints.ray_headers)
    holder = client.submit_job(entrypoint=f'python -c "import ray, time; ray.init(); {hold}"')
    try:
        wait_until(
            lambda: any("ray::<lambda>" in " ".join(_command(process)) for process in platform.descendants()),
            what="the job that holds the CPUs",
        )

        ended = local.run("train", "--trials", "2", "--timeout", "12")
    finally:
        client.stop_job(holder)

    output = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert re.search(r"waiting for a CPU: 0 of the cluster's \d+ CPUs are free", output)
    assert re.search(r"No CPU became free within 12 s: 0 of the cluster's", output)
    assert "--timeout" in output
    wait_until(lambda: client.get_job_status(holder).is_terminal(), what="the end of the holder")


def test_a_model_survives_a_registry_that_goes_away(local: LocalFolder, registry: MlflowClient, tmp_path: Path) -> None:
    before = len(registry.search_model_versions(f"name='{MODEL_NAME}'"))
    door = Door(local.endpoints.mlflow_url, closes_at="/runs/log-batch")
    with door.listening() as url:
        environment = clean_environment() | {
            "MLFLOW_TRACKING_URI": url,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "TMPDIR": str(tmp_path),
        }
        train = [sys.executable, "-m", "app.train", "--dataset", "wine", "--trees", "12", "--no-promote"]
        lost = subprocess.run(
            train, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False
        )
        meanwhile = len(registry.search_model_versions(f"name='{MODEL_NAME}'"))
        command = re.findall(r"register it on this machine: (.*)$", lost.stderr, re.MULTILINE)[0]
        door.reopen()
        registered = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=True
        )

    again = result(registered.stdout)
    assert lost.returncode == 1
    assert "Traceback" not in lost.stderr
    assert meanwhile == before
    run = registry.get_run(again["run_id"])
    assert (run.info.status, run.data.params["n_estimators"]) == ("FINISHED", "12")
    assert run.inputs is not None
    assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == ["wine"]
    assert registry.get_model_version(MODEL_NAME, again["version"]).run_id == again["run_id"]
    parts = split.split_dataset(sources.load_bundled("wine"), test_size=0.2, seed=42)
    alone = RandomForestClassifier(12, random_state=42).fit(parts.train_features, parts.train_target)
    assert again["fingerprint"] == provenance.forest_fingerprint(alone)


def _runs_training(process: psutil.Process) -> bool:
    return _command(process)[1:3] == ["-m", "app.train"]


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []


def _score(run: Run) -> float:
    return float(run.data.metrics["cv_score"])

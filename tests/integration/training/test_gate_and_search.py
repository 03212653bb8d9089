"""The gate, the search, lost workers, a busy cluster, and an MLflow that goes away during training."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from ray.job_submission import JobSubmissionClient
from sklearn.ensemble import RandomForestClassifier

from app.cli.endpoints import Endpoints
from app.names import MODEL_NAME
from app.training.data import sources
from app.training.data.split import split_dataset
from app.training.models.fingerprint import model_fingerprint
from tests.support.json_object import JsonObject
from tests.support.local import MANTA, LocalFolder, RunningPlatform, clean_environment
from tests.support.mlflow_proxy import MlflowProxy
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def registry(platform: RunningPlatform, local: LocalFolder) -> Iterator[MlflowClient]:
    """A client of MLflow. At the end version 1 is the champion again."""
    assert platform.process.poll() is None
    client = MlflowClient(tracking_uri=local.endpoints.mlflow_url)
    yield client
    client.set_registered_model_alias(MODEL_NAME, "champion", "1")


def read_result(output: str) -> JsonObject:
    """The result of a training run: the last line of the job's output."""
    result: JsonObject = json.loads(output.splitlines()[-1])
    return result


def train(local: LocalFolder, *argv: str) -> JsonObject:
    process = local.run("train", *argv)
    assert process.returncode == 0, process.stdout + process.stderr
    return read_result(process.stdout)


def champion_version(client: MlflowClient) -> str:
    return str(client.get_model_version_by_alias(MODEL_NAME, "champion").version)


def trial_runs(client: MlflowClient, run_id: str) -> list[Run]:
    experiment = client.get_run(run_id).info.experiment_id
    return list(client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'"))


class TestGate:
    """The tests run in this order: a worse model fails, `--force` promotes it, and a better model replaces it."""

    def test_a_worse_model_does_not_become_the_champion(self, local: LocalFolder, registry: MlflowClient) -> None:
        registry.set_registered_model_alias(MODEL_NAME, "champion", "1")

        worse = train(local, "--trees", "1", "--max-depth", "1")

        run, version = registry.get_run(worse["run_id"]), registry.get_model_version(MODEL_NAME, worse["version"])
        assert (worse["gate"], worse["promoted"], champion_version(registry)) == ("failed", False, "1")
        assert "version 1, the champion" in worse["reason"]
        metrics = {f"gate_{name}" for name in ("challenger_score", "opponent_score", "difference", "low", "high")}
        assert metrics <= run.data.metrics.keys()
        assert run.data.metrics["gate_low"] <= run.data.metrics["gate_difference"] < 0
        assert {run.data.tags["gate"], version.tags["gate"]} == {"failed"}
        assert version.tags["gate.opponent"] == "version 1, the champion"

    def test_force_promotes_a_worse_model_and_the_service_loads_it(
        self, local: LocalFolder, registry: MlflowClient, api: httpx.Client
    ) -> None:
        worse = train(local, "--trees", "1", "--max-depth", "1", "--force")

        assert (worse["gate"], worse["promoted"], champion_version(registry)) == ("forced", True, worse["version"])
        assert registry.get_model_version(MODEL_NAME, worse["version"]).tags["gate"] == "forced"
        wait_until(lambda: api.get("/model").json()["model_info"]["version"] == worse["version"], what="the service")

    def test_a_better_model_becomes_the_champion_unless_no_promote_is_set(
        self, local: LocalFolder, registry: MlflowClient, api: httpx.Client
    ) -> None:
        champion_before = champion_version(registry)

        not_promoted = train(local, "--trees", "60", "--metric", "log_loss", "--no-promote")
        loaded = local.run("load")
        champion_after_no_promote = champion_version(registry)
        promoted = train(local, "--trees", "60", "--metric", "log_loss", "--margin", "0.001")

        assert (not_promoted["gate"], not_promoted["promoted"]) == ("passed", False)
        assert f"version {champion_before} serves" in loaded.stdout, loaded.stderr
        assert champion_after_no_promote == champion_before
        assert (promoted["gate"], promoted["promoted"]) == ("passed", True)
        assert champion_version(registry) == promoted["version"]
        wait_until(lambda: api.get("/model").json()["model_info"]["version"] == promoted["version"], what="the service")

    def test_a_load_without_a_version_does_not_return_to_a_version_that_was_rolled_back(
        self, local: LocalFolder, registry: MlflowClient
    ) -> None:
        champion_before = champion_version(registry)

        rolled_back = local.run("load", "--version", "1")
        without_version = local.run("load")
        champion_after = champion_version(registry)
        named = local.run("load", "--version", champion_before)

        assert (rolled_back.returncode, named.returncode) == (0, 0), rolled_back.stderr + named.stderr
        assert "version 1 serves" in without_version.stdout, without_version.stderr
        assert (champion_after, champion_version(registry)) == ("1", champion_before)


def test_a_killed_search_resumes_with_the_trials_that_have_ended(
    platform: RunningPlatform, local: LocalFolder, registry: MlflowClient
) -> None:
    argv = ["train", "--trials", "10", "--trees", "300", "--folds", "4", "--metric", "roc_auc", "--no-promote"]
    with (local.folder / "search.log").open("w") as log:
        killed_search = subprocess.Popen(
            [MANTA, *argv], cwd=local.folder, stdout=log, stderr=log, env=clean_environment()
        )
    search_log = local.folder / "search.log"
    wait_until(lambda: "trial 3 of 10" in search_log.read_text(), what="three trials", timeout_s=300)
    [driver] = [process for process in platform.descendants() if _runs_training(process)]
    driver.send_signal(signal.SIGKILL)
    assert killed_search.wait(timeout=600) != 0
    run_id = re.findall(r"after an interruption: --resume (\w+)", search_log.read_text())[0]
    ended_before = {run.info.run_id for run in trial_runs(registry, run_id) if "search.state" in run.data.tags}

    other_seed = local.run(*argv, "--seed", "7", "--resume", run_id)
    resumed = local.run(*argv, "--resume", run_id)

    runs = trial_runs(registry, run_id)
    ended_runs = [run for run in runs if run.data.tags.get("search.state") in {"complete", "stopped early"}]
    assert other_seed.returncode == 1
    assert "searched with another seed" in other_seed.stdout + other_seed.stderr
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert 3 <= len(ended_before) < 10
    assert len(ended_runs) == 10
    assert ended_before < {run.info.run_id for run in ended_runs}
    assert not [run for run in runs if run.info.status == "RUNNING"]
    best = max((run for run in ended_runs if run.data.tags["search.state"] == "complete"), key=_score)
    best_config = json.loads(best.data.tags["search.config"])
    params = registry.get_run(run_id).data.params
    assert {name: params[name] for name in best_config} == {name: str(value) for name, value in best_config.items()}
    assert read_result(resumed.stdout)["run_id"] == run_id


def test_a_forest_is_unchanged_when_a_worker_is_killed_during_the_fit(
    platform: RunningPlatform, local: LocalFolder
) -> None:
    generated = sources.make_synthetic(n_samples=20_000, seed=1)
    generated.rows.features.assign(sold=generated.rows.target).to_parquet(local.folder / "rows.parquet")
    argv = ["train", "--data", "rows.parquet", "--target", "sold", "--trees", "300", "--max-depth", "3", "--no-promote"]
    killed_pids: list[int] = []

    def kill_one_worker() -> bool:
        for process in platform.descendants():
            if not killed_pids and "ray::fit_slice" in " ".join(_command(process)):
                killed_pids.append(process.pid)
                os.kill(process.pid, signal.SIGKILL)
        return bool(killed_pids) or job.poll() is not None

    with (local.folder / "lost.log").open("w") as log:
        job = subprocess.Popen([MANTA, *argv], cwd=local.folder, stdout=log, stderr=log, env=clean_environment())
    wait_until(kill_one_worker, what="a worker that fits trees", timeout_s=300)
    assert job.wait(timeout=600) == 0, (local.folder / "lost.log").read_text()

    dataset = sources.read_file(str(local.folder / "rows.parquet"), target="sold")
    split = split_dataset(dataset, task="classification", test_size=0.2, seed=42)
    expected = RandomForestClassifier(300, max_depth=3, random_state=42, n_jobs=-1)
    expected.fit(split.train.features, split.train.target)
    assert killed_pids
    assert read_result((local.folder / "lost.log").read_text())["fingerprint"] == model_fingerprint(expected)


@contextmanager
def job_with_cpus(platform: RunningPlatform, endpoints: Endpoints, *, left: float) -> Iterator[None]:
    """A job that reserves all CPUs of the platform, except what is left."""
    client = JobSubmissionClient(endpoints.ray_url, headers=endpoints.ray_headers)
    cpus = f"ray.cluster_resources()['CPU'] - {left}"
    reserve = f"ray.get(ray.remote(num_cpus={cpus})(lambda: time.sleep(300)).remote())"
    job_id = client.submit_job(entrypoint=f'python -c "import ray, time; ray.init(); {reserve}"')
    try:
        wait_until(
            lambda: any("ray::<lambda>" in " ".join(_command(process)) for process in platform.descendants()),
            what="the job that reserves the CPUs",
        )
        yield
    finally:
        client.stop_job(job_id)
        wait_until(lambda: client.get_job_status(job_id).is_terminal(), what="the end of that job")


def test_a_job_waits_for_a_free_cpu_logs_the_reason_and_gives_up_after_the_timeout(
    local: LocalFolder, platform: RunningPlatform
) -> None:
    assert platform.process.poll() is None
    with job_with_cpus(platform, local.endpoints, left=0.01):
        process = local.run("train", "--trials", "2", "--timeout", "12")

    output = process.stdout + process.stderr
    assert process.returncode == 1
    assert re.search(r"waiting for a CPU: 0 of the cluster's \d+ CPUs are free", output)
    assert re.search(r"No CPU became free within 12 s: 0 of the cluster's", output)
    assert "--timeout" in output


def test_a_job_without_a_free_cpu_for_its_driver_says_so_and_is_stopped_after_the_timeout(
    local: LocalFolder, platform: RunningPlatform
) -> None:
    assert platform.process.poll() is None
    with job_with_cpus(platform, local.endpoints, left=0.0):
        process = local.run("train", "--timeout", "12")

    assert process.returncode == 1
    assert re.search(
        r"waiting for a worker with 0\.01 CPU and 0\.75 GiB of memory free, at most 12 s: ", process.stderr
    )
    assert re.search(r"The job manta-\w+ has not started within 12 s and was stopped", process.stderr)
    wait_until(
        lambda: all(
            job.status.is_terminal()
            for job in JobSubmissionClient(local.endpoints.ray_url, headers=local.endpoints.ray_headers).list_jobs()
        ),
        what="the end of the job",
    )


def test_a_fitted_model_is_saved_and_registered_later_when_mlflow_goes_away(
    local: LocalFolder, registry: MlflowClient, tmp_path: Path
) -> None:
    versions_before = len(registry.search_model_versions(f"name='{MODEL_NAME}'"))
    proxy = MlflowProxy(local.endpoints.mlflow_url, stops_at="/runs/log-batch")
    with proxy.listening() as url:
        environment = clean_environment() | {
            "MLFLOW_TRACKING_URI": url,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "TMPDIR": str(tmp_path),
        }
        argv = [sys.executable, "-m", "app.train", "--dataset", "wine", "--trees", "12", "--no-promote"]
        failed = subprocess.run(
            argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        versions_after_failure = len(registry.search_model_versions(f"name='{MODEL_NAME}'"))
        command = re.findall(r"register it on this machine: (.*)$", failed.stderr, re.MULTILINE)[0]
        proxy.resume()
        registered = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=True
        )

    result = read_result(registered.stdout)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert versions_after_failure == versions_before
    run = registry.get_run(result["run_id"])
    assert (run.info.status, run.data.params["n_estimators"]) == ("FINISHED", "12")
    assert run.inputs is not None
    assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == ["wine"]
    assert registry.get_model_version(MODEL_NAME, result["version"]).run_id == result["run_id"]
    split = split_dataset(sources.load_bundled("wine"), task="classification", test_size=0.2, seed=42)
    expected = RandomForestClassifier(12, random_state=42).fit(split.train.features, split.train.target)
    assert result["fingerprint"] == model_fingerprint(expected)


def _runs_training(process: psutil.Process) -> bool:
    return _command(process)[1:3] == ["-m", "app.train"]


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []


def _score(run: Run) -> float:
    return float(run.data.metrics["cv_score"])

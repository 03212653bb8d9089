"""A load that fails in any way is a refusal with its reason, and leaves no process and no file."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from app import names
from app.cli.ports import free_ports
from app.errors import MantaError, ModelNotFoundError, ModelRefusedError, RegistryUnavailableError
from app.models.trees.flat_model import FlatModel
from app.serving.loading.loader import ModelLoader
from tests.integration.serving.loading.conftest import Loading
from tests.support.fleet_models import ROWS, Versions, fitted_forest
from tests.support.waiting import wait_until

HANG_TIMEOUT_S = 3.0


def children(loading: Loading) -> list[psutil.Process]:
    """The processes of loads in progress."""
    return psutil.Process(loading.loader._processes._process.pid).children(recursive=True)


def folders(loading: Loading) -> list[Path]:
    """The folders of loads in progress."""
    return list(loading.loader._folder.glob("load-*"))


def refusal(loading: Loading, number: str) -> str:
    """Prepare a version, and return the reason of the refusal."""
    with pytest.raises(ModelRefusedError) as error:
        loading.run(loading.loader.prepare(loading.version(number)))
    assert (children(loading), folders(loading)) == ([], [])
    return str(error.value)


def test_a_forest_predicts_from_flat_arrays_as_scikit_learn_does(loading: Loading, versions: Versions) -> None:
    model = loading.run(loading.loader.prepare(loading.version(versions.first)))

    assert isinstance(model.predictor.evaluator, FlatModel)
    answers = model.predictor.predict(ROWS.to_numpy())
    forest = fitted_forest(1)
    assert answers.predictions.tolist() == forest.predict(ROWS).tolist()
    assert answers.probabilities is not None
    assert np.array_equal(answers.probabilities, forest.predict_proba(ROWS))
    assert model.predictor.classes == ["big", "small"]
    assert model.example.features == ROWS.head(4).to_numpy().tolist()


@pytest.mark.parametrize("kind", ["pipeline", "regressor", "text"])
def test_every_other_model_predicts_by_scikit_learn(loading: Loading, versions: Versions, kind: str) -> None:
    model = loading.run(loading.loader.prepare(loading.version(getattr(versions, kind))))

    rows = np.array(model.example.features, dtype=object if kind == "text" else np.float64)
    answers = model.predictor.predict(rows)
    assert answers.predictions.shape == (4,)
    assert (answers.probabilities is None) == (kind == "regressor")


def test_a_version_with_other_predictions_than_recorded_is_refused(loading: Loading, versions: Versions) -> None:
    assert "does not predict its input example" in refusal(loading, versions.inconsistent)


@pytest.mark.parametrize(("hook", "reason"), [("crash", "was killed by SIGSEGV"), ("exit", "ended with exit status 3")])
def test_a_process_that_dies_is_a_refusal(loading: Loading, versions: Versions, hook: str, reason: str) -> None:
    with loading.misbehaving(hook):
        assert reason in refusal(loading, versions.first)


def test_a_crash_writes_its_stack_to_the_log(
    loading: Loading, versions: Versions, caplog: pytest.LogCaptureFixture
) -> None:
    with loading.misbehaving("crash"):
        refusal(loading, versions.first)

    assert "Segmentation fault" in caplog.text
    assert "load_or_misbehave" in caplog.text


def test_a_load_that_hangs_ends_at_its_deadline_with_all_its_processes(
    loading: Loading, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading.loader, "timeout_s", HANG_TIMEOUT_S)

    with loading.misbehaving("leave"):
        reason = refusal(loading, versions.first)

    assert "was not ready after 3 s" in reason


def test_a_cancelled_load_leaves_no_process(loading: Loading, versions: Versions) -> None:
    async def cancel() -> None:
        task = asyncio.create_task(loading.loader.prepare(loading.version(versions.first)))
        await asyncio.to_thread(wait_until, loading.reached().exists, what="a child that hangs")
        assert len(children(loading)) == 2
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with loading.misbehaving("leave"):
        loading.run(cancel())

    assert (children(loading), folders(loading)) == ([], [])


def test_loads_run_side_by_side_and_one_that_fails_leaves_the_others(loading: Loading, versions: Versions) -> None:
    async def load_all() -> list[object]:
        loads = [
            loading.loader.prepare(loading.version(number))
            for number in (versions.first, versions.inconsistent, versions.pipeline)
        ]
        return await asyncio.gather(*loads, return_exceptions=True)

    first, inconsistent, pipeline = loading.run(load_all())

    assert isinstance(inconsistent, ModelRefusedError)
    assert not isinstance(first, BaseException)
    assert not isinstance(pipeline, BaseException)


def test_the_next_load_works_after_the_fork_server_was_killed(loading: Loading, versions: Versions) -> None:
    async def kill_during_load() -> None:
        task = asyncio.create_task(loading.loader.prepare(loading.version(versions.first)))
        await asyncio.to_thread(wait_until, loading.reached().exists, what="a child that hangs")
        os.kill(loading.loader._processes._process.pid, signal.SIGKILL)
        await task

    with loading.misbehaving("hang"), pytest.raises(ModelRefusedError, match="loads models ended"):
        loading.run(kill_during_load())
    child = int(loading.reached().read_text())
    wait_until(lambda: not psutil.pid_exists(child), what="the end of the child")

    assert loading.run(loading.loader.prepare(loading.version(versions.first))).files


def test_a_killed_replica_leaves_no_process_and_no_file(loading: Loading, versions: Versions) -> None:
    program = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from app.models.registry import Registry
        from app.serving.loading.loader import ModelLoader
        from app.settings import Settings

        async def main(uri, name, version):
            loader = ModelLoader(mlflow_uri=uri, model_cache=Path())
            print(loader._folder, flush=True)
            found = Registry(Settings(mlflow_tracking_uri=uri)).find(name, version=version)
            await loader.prepare(found)

        asyncio.run(main(*sys.argv[1:]))
        """
    )
    with loading.misbehaving("leave"):
        replica = subprocess.Popen(
            [sys.executable, "-c", program, loading.registry.uri, names.MODEL_NAME, versions.first],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert replica.stdout is not None
        folder = Path(replica.stdout.readline().strip())
        wait_until(loading.reached().exists, what="a child that hangs", timeout_s=300)
        family = psutil.Process(replica.pid).children(recursive=True)
        replica.kill()
        replica.wait()
        replica.stdout.close()

    assert len(family) == 3
    wait_until(lambda: not any(process.is_running() for process in family), what="the end of all processes")
    wait_until(lambda: not folder.exists(), what="the end of the folder")


def test_mlflow_away_is_no_refusal_of_the_version(loading: Loading, versions: Versions) -> None:
    async def prepare() -> None:
        loader = ModelLoader(mlflow_uri=f"http://127.0.0.1:{free_ports(1)[0]}", model_cache=Path())
        try:
            await loader.prepare(loading.version(versions.first))
        finally:
            await loader.close()

    with pytest.raises(RegistryUnavailableError):
        loading.run(prepare())


def write(name: str, content: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_text(content)

    return change


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def grow(folder: Path) -> None:
    """Make the estimator's file larger than the memory, without using the disk."""
    os.truncate(folder / "model.skops", 2 * psutil.virtual_memory().total)


def add_files(folder: Path) -> None:
    for index in range(1001):
        (folder / f"{index}").touch()


def delete(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (grow, "but only [0-9,.]+ MiB of memory are free"),
        (add_files, "has too many files"),
        (replace("MLmodel", "pickled_model: model.skops", "pickled_model: ../../secret"), "names a file outside"),
        (replace("MLmodel", "pickled_model: model.skops", "pickled_model: /etc/passwd"), "names a file outside"),
        (replace("MLmodel", "artifact_path: input_example.json", "artifact_path: ../x"), "names a file outside"),
        (replace("MLmodel", "pickled_model: model.skops", "pickled: model.skops"), "KeyError"),
        (write("MLmodel", "flavors: 7"), "is not an MLflow model"),
        (write("MLmodel", "["), "is not an MLflow model"),
        (write("input_example.json", "{}"), "is not an MLflow model"),
        (write("model.skops", "no zip"), "cannot be read: BadZipFile"),
    ],
)
def test_a_version_with_damaged_files_is_refused(
    loading: Loading, versions: Versions, change: Callable[[Path], None], reason: str
) -> None:
    with loading.files_of(versions.first) as folder:
        change(folder)

        message = refusal(loading, versions.first)

    assert re.search(reason, message), message


def test_deleted_files_are_not_found(loading: Loading, versions: Versions) -> None:
    with loading.files_of(versions.first) as folder:
        delete(folder)

        with pytest.raises(ModelNotFoundError, match="were deleted"):
            loading.run(loading.loader.prepare(loading.version(versions.first)))


MUTATIONS = 60


def test_a_mutated_file_is_refused_or_loads(loading: Loading, versions: Versions) -> None:
    draw = np.random.default_rng(7)
    outcomes: list[object] = []

    for index in range(MUTATIONS):
        number = [versions.first, versions.pipeline, versions.regressor][index % 3]
        with loading.files_of(number) as folder:
            path = folder / ["model.skops", "MLmodel", "input_example.json"][draw.choice(3, p=[0.7, 0.2, 0.1])]
            content = bytearray(path.read_bytes())
            for position in draw.integers(0, len(content), draw.integers(1, 8)):
                content[position] = draw.integers(0, 256)
            path.write_bytes(content)
            try:
                outcomes.append(loading.run(loading.loader.prepare(loading.version(number))).predictor)
            except MantaError as error:
                outcomes.append(error)

    assert len(outcomes) == MUTATIONS
    assert any(isinstance(outcome, ModelRefusedError) for outcome in outcomes)
    assert (children(loading), folders(loading)) == ([], [])

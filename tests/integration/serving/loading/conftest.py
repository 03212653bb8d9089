"""One MLflow server with several versions, and a loader whose child processes can be made to misbehave."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from app import names
from app.models.registry import Registry
from app.serving.loading.limits import RESERVED_SHARE
from app.serving.loading.loader import ModelLoader
from app.settings import Settings
from tests.support import fleet_models
from tests.support.fleet_models import Versions
from tests.support.ray_cluster import Cluster, create_cluster

HOOKS = Path(__file__).parents[3] / "support" / "loading_hooks"

T = TypeVar("T")


@dataclass(frozen=True)
class Loading:
    """A loader, its event loop, and the artifact store of its MLflow server."""

    loader: ModelLoader
    runner: asyncio.Runner
    registry: Registry
    store: Path
    hook: Path

    def run(self, coroutine: Coroutine[None, None, T]) -> T:
        return self.runner.run(coroutine)

    def version(self, number: str) -> ModelVersion:
        return self.registry.find(names.MODEL_NAME, version=number)

    def reached(self) -> Path:
        """The file that a child writes when it hangs; it holds the id of the child's process."""
        return self.hook.with_name(f"{self.hook.name}-reached")

    @contextmanager
    def misbehaving(self, hook: str) -> Iterator[None]:
        """Let every child misbehave; see `loading_hooks`."""
        self.reached().unlink(missing_ok=True)
        self.hook.write_text(hook)
        try:
            yield
        finally:
            self.hook.write_text("")

    @contextmanager
    def free_memory(self, size_bytes: int) -> Iterator[None]:
        """Let the cgroup of every child have only this much memory for a model."""
        limit_bytes = 10 * size_bytes
        use_bytes = limit_bytes - size_bytes - round(RESERVED_SHARE * limit_bytes)
        cgroups = self.hook.with_name(f"{self.hook.name}-cgroups")
        (cgroups / "memory").mkdir(parents=True)
        for limit, use, folder in (
            ("memory.max", "memory.current", cgroups),  # version 2
            ("memory.limit_in_bytes", "memory.usage_in_bytes", cgroups / "memory"),  # version 1
        ):
            (folder / limit).write_text(str(limit_bytes))
            (folder / use).write_text(str(use_bytes))
            (folder / "memory.stat").write_text("")
        try:
            yield
        finally:
            shutil.rmtree(cgroups)

    @contextmanager
    def files_of(self, number: str) -> Iterator[Path]:
        """The folder of a version's files in the artifact store. Every change is undone at the end."""
        uri = MlflowClient(self.registry.uri, self.registry.uri).get_model_version_download_uri(
            names.MODEL_NAME, number
        )
        folder = self.store / uri.removeprefix("mlflow-artifacts:/")
        copy = Path(tempfile.mkdtemp()) / "copy"
        shutil.copytree(folder, copy)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.move(copy, folder)
            copy.parent.rmdir()


@pytest.fixture(scope="package")
def cluster_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ld", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture(scope="package")
def mlflow_server(cluster_folder: Path) -> Iterator[Cluster]:
    cluster = create_cluster(cluster_folder)
    try:
        cluster.start_mlflow()
        yield cluster
    finally:
        cluster.mlflow.stop()


@pytest.fixture(scope="package")
def versions(mlflow_server: Cluster) -> Versions:
    return fleet_models.register_in_subprocess(mlflow_server.mlflow_url)


@pytest.fixture(scope="package")
def loading(mlflow_server: Cluster, versions: Versions, cluster_folder: Path) -> Iterator[Loading]:
    hook = cluster_folder / "hook"
    hook.write_text("")
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.setenv("PYTHONPATH", str(HOOKS))
        patch.setenv("LOADING_HOOK", str(hook))
        loader = ModelLoader(mlflow_uri=mlflow_server.mlflow_url, model_cache=cluster_folder / "cache")
        registry = Registry(Settings(mlflow_tracking_uri=mlflow_server.mlflow_url))
        result = Loading(loader, runner, registry, cluster_folder / "files", hook)
        result.run(loader.prepare(result.version(versions.first)))
        yield result
        runner.run(loader.close())

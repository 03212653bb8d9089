import asyncio
import os
import tempfile
from pathlib import Path

from app.serving.loading.child import FOLDER_PREFIX
from app.serving.loading.loader import ModelLoader
from tests.integration.serving.loading.conftest import Loading
from tests.support.waiting import wait_until


def test_folders_of_killed_replicas_are_deleted_and_those_of_others_stay(loading: Loading) -> None:
    leftover = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
    (leftover / "model.skops").touch()
    young = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
    for folder in (leftover, loading.loader._folder):
        os.utime(folder, (0, 0))

    async def start() -> None:
        loader = ModelLoader(mlflow_uri=loading.registry.uri, model_cache=Path())
        try:
            await asyncio.to_thread(
                wait_until, lambda: not leftover.exists(), what="the end of the leftover", timeout_s=300
            )
        finally:
            await loader.close()

    loading.run(start())

    assert loading.loader._folder.exists()
    assert young.exists()
    young.rmdir()

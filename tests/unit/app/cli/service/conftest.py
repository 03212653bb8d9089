from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import settings


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory without a platform, and an environment that names none."""
    for name in ("MANTA_RAY_URL", "MANTA_SERVE_URL", "MANTA_SERVE_TOKEN", "MLFLOW_TRACKING_URI", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()

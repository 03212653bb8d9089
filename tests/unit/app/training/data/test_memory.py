from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
from sklearn.datasets import load_breast_cancer

from app.errors import DataError
from app.settings import settings
from app.training.data import memory

GIBIBYTE = 2**30


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MANTA_DRIVER_MEMORY", raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_data_larger_than_the_memory_is_refused_with_what_it_needs() -> None:
    cells = 2 * int(psutil.virtual_memory().total) // memory.BYTES_PER_CELL

    with pytest.raises(DataError, match=r"houses\.csv has 1 GiB with about .* GiB of memory, and .*--driver-memory"):
        memory.check_fits(cells, GIBIBYTE, "houses.csv")


def test_small_data_fits() -> None:
    memory.check_fits(1000, 8000, "houses.csv")


def test_memory_that_the_job_reserved_is_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    used = psutil.Process().memory_info().rss
    monkeypatch.setenv("MANTA_DRIVER_MEMORY", str(used + 100_000_000))

    memory.check_fits(1_000_000, 0, "houses.csv")
    with pytest.raises(DataError, match="Training on it needs"):
        memory.check_fits(2_000_000, 0, "houses.csv")


CONTAINERS = {
    "version 2": {
        "memory.max": "3221225472\n",
        "memory.current": "2147483648\n",
        "memory.stat": "anon 1\ninactive_file 536870912\nactive_file 4096\n",
    },
    "version 1": {
        "memory/memory.limit_in_bytes": "3221225472\n",
        "memory/memory.usage_in_bytes": "2147483648\n",
        "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 536870912\n",
    },
}


@pytest.mark.parametrize("files", CONTAINERS.values(), ids=CONTAINERS)
def test_the_limit_of_the_container_counts_without_the_cached_files(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)

    assert memory.free_memory() == min(1.5 * GIBIBYTE, psutil.virtual_memory().available)


def test_a_container_without_a_limit_has_the_memory_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)

    assert memory.free_memory() > 0


def test_the_values_of_a_csv_file_are_estimated_from_its_beginning(tmp_path: Path) -> None:
    frame: pd.DataFrame = load_breast_cancer(as_frame=True).frame
    frame.to_csv(tmp_path / "cells.csv", index=False)
    content = (tmp_path / "cells.csv").read_bytes()

    cells = memory.estimate_csv_cells(content[: len(content) // 4], len(content))

    assert cells == pytest.approx(frame.size, rel=0.05)

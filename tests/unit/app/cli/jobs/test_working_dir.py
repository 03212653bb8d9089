import io
import os
import tempfile
import zipfile
from pathlib import Path

import pytest

from app.cli.jobs import working_dir
from app.cli.jobs.working_dir import PackageError, pack

ROOT = Path(__file__).parents[5]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with what belongs into a job and what does not."""
    for path in ("app/train.py", "data/houses.csv", "docs/a.md", "notes.txt", "kept/big.bin", ".manta/token"):
        write(tmp_path / path, path)
    for path in (".git/config", ".venv/bin/python", "app/__pycache__/train.pyc", "kept/deep/secret.pem"):
        write(tmp_path / path, path)
    (tmp_path / ".rayignore").write_text("/docs/\n")
    (tmp_path / ".gitignore").write_text("*.txt\n")
    (tmp_path / "kept" / ".rayignore").write_text("*.pem\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_package_holds_what_no_ignore_file_lists_and_never_our_own_token(folder: Path) -> None:
    made = pack(folder)

    held = set(zipfile.ZipFile(io.BytesIO(made.content)).namelist())
    own = {".rayignore", ".gitignore", "kept/.rayignore"}
    assert held == {"app/train.py", "data/houses.csv", "kept/big.bin"} | own
    assert made.files == held


def test_ray_would_give_the_same_package_the_same_name(folder: Path) -> None:
    from ray._private import ray_constants  # noqa: PLC0415
    from ray._private.runtime_env.packaging import get_uri_for_directory  # noqa: PLC0415

    (folder / ".manta" / "token").unlink()
    (folder / ".manta").rmdir()

    by_ray = get_uri_for_directory(
        str(folder), include_gitignore=True, excludes=ray_constants.get_runtime_env_default_excludes()
    )
    assert pack(folder).uri == by_ray


def test_another_content_is_another_package(folder: Path) -> None:
    before = pack(folder).uri

    (folder / "data" / "houses.csv").write_text("changed")

    assert pack(folder).uri != before


def test_too_much_is_refused_unpacked_with_the_biggest_files_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("kept/big.bin", 80_000_000), ("data/houses.csv", 30_000_000)):
        os.truncate(folder / name, size)  # files with a size and no content
    monkeypatch.delattr(tempfile, "TemporaryDirectory")

    with pytest.raises(PackageError) as refused:
        pack(folder)

    said = str(refused.value)
    assert "110 MB in 6 files" in said
    assert said.index("kept/big.bin (80.0 MB)") < said.index("data/houses.csv (30.0 MB)")
    assert ".rayignore" in said


def test_the_size_of_the_zip_file_counts_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = sum((folder / name).stat().st_size for name in pack(folder).files)

    monkeypatch.setattr(working_dir, "LIMIT_BYTES", small)

    with pytest.raises(PackageError, match="biggest"):
        pack(folder)


def test_the_project_itself_goes_along_as_its_code_alone() -> None:
    files = pack(ROOT).files

    assert {"app/train.py", "app/cli/jobs/train.py", "pyproject.toml"} <= files
    assert {name.split("/")[0] for name in files if "/" in name} == {"app"}

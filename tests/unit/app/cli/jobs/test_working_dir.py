import io
import os
import tempfile
import zipfile
from pathlib import Path

import pytest

from app.cli.jobs import working_dir
from app.cli.jobs.working_dir import WorkingDirError, pack

ROOT = Path(__file__).parents[5]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with files that are packed and files that are not."""
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


def test_the_zip_file_holds_no_ignored_file_and_never_the_token(folder: Path) -> None:
    working_dir = pack(folder)

    zipped = set(zipfile.ZipFile(io.BytesIO(working_dir.content)).namelist())
    ignore_files = {".rayignore", ".gitignore", "kept/.rayignore"}
    assert zipped == {"app/train.py", "data/houses.csv", "kept/big.bin"} | ignore_files
    assert working_dir.files == zipped


def test_the_uri_is_the_one_that_ray_job_submit_uses(folder: Path) -> None:
    # Importing Ray takes half a second, and only this test needs it.
    from ray._private import ray_constants  # noqa: PLC0415
    from ray._private.runtime_env.packaging import get_uri_for_directory  # noqa: PLC0415

    (folder / ".manta" / "token").unlink()
    (folder / ".manta").rmdir()

    uri_of_ray = get_uri_for_directory(
        str(folder), include_gitignore=True, excludes=ray_constants.get_runtime_env_default_excludes()
    )
    assert pack(folder).uri == uri_of_ray


def test_changed_content_changes_the_uri(folder: Path) -> None:
    before = pack(folder).uri

    (folder / "data" / "houses.csv").write_text("changed")

    assert pack(folder).uri != before


def test_a_folder_that_is_too_large_is_refused_before_packing_with_its_largest_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("kept/big.bin", 80_000_000), ("data/houses.csv", 30_000_000)):
        os.truncate(folder / name, size)  # sparse files: a size without content
    monkeypatch.delattr(tempfile, "TemporaryDirectory")

    with pytest.raises(WorkingDirError) as error:
        pack(folder)

    message = str(error.value)
    assert "110 MB in 6 files" in message
    assert message.index("kept/big.bin (80.0 MB)") < message.index("data/houses.csv (30.0 MB)")
    assert ".rayignore" in message


def test_a_zip_file_that_is_too_large_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content_bytes = sum((folder / name).stat().st_size for name in pack(folder).files)

    monkeypatch.setattr(working_dir, "MAX_BYTES", content_bytes)

    with pytest.raises(WorkingDirError, match="largest"):
        pack(folder)


def test_of_this_project_only_its_packages_and_files_of_its_root_are_packed() -> None:
    files = pack(ROOT).files

    assert {"app/train.py", "app/cli/jobs/train.py", "pyproject.toml"} <= files
    assert {name.split("/")[0] for name in files if "/" in name} == {"app", "manta"}


def test_an_additional_file_is_in_the_zip_file_under_another_uri(folder: Path) -> None:
    original = pack(folder)

    first, second = (original.with_file("sent/houses.csv", content) for content in (b"1", b"2"))

    archive = zipfile.ZipFile(io.BytesIO(first.content))
    assert archive.read("sent/houses.csv") == b"1"
    assert first.files == original.files | {"sent/houses.csv"}
    assert len({original.uri, first.uri, second.uri}) == 3


def test_an_additional_file_that_is_too_large_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = pack(folder)
    monkeypatch.setattr(working_dir, "MAX_BYTES", len(original.content) + 50)

    with pytest.raises(WorkingDirError, match=r"sent/houses\.csv have .* MB"):
        original.with_file("sent/houses.csv", os.urandom(100))

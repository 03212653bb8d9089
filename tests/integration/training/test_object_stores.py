from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyarrow import fs
from sklearn.datasets import load_wine

from app.errors import DataError
from app.training.data import object_stores, sources
from tests.support.object_stores import google_server, s3_server


def table() -> pd.DataFrame:
    """The wines, with text, dates, booleans and missing values."""
    frame = load_wine(as_frame=True).frame
    return frame.assign(
        cellar=[None if i % 9 == 0 else f"cellar {i % 5}" for i in frame.index],
        bottled=pd.date_range("2020-01-01", periods=len(frame)),
        organic=frame.index % 2 == 0,
        alcohol=frame["alcohol"].where(frame.index % 7 > 0),
    )


@pytest.fixture(scope="module")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3") / "server.log") as url:
        yield url


@pytest.fixture
def s3(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> fs.FileSystem:
    """The S3 server, which this process reaches as a job does: by environment variables."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    filesystem, bucket = fs.FileSystem.from_uri("s3://wines?allow_bucket_creation=true")
    filesystem.create_dir(bucket)
    return filesystem


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with google_server(tmp_path_factory.mktemp("google") / "server.log", bucket="wines") as address:
        yield address


def write(filesystem: fs.FileSystem, path: str, content: bytes) -> None:
    with filesystem.open_output_stream(path, compression=None) as file:
        file.write(content)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_a_file_in_s3_has_the_rows_of_the_same_file_on_this_machine(
    s3: fs.FileSystem, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"wine.{ending}"
    table().to_parquet(path) if ending == "parquet" else table().to_csv(path, index=False)
    write(s3, f"wines/{path.name}", path.read_bytes())

    stored = sources.read_file(f"s3://wines/{path.name}", target="target")

    local = sources.read_file(str(path), target="target")
    assert stored.fingerprint == local.fingerprint
    assert (stored.name, stored.source) == (path.name, f"s3://wines/{path.name}")


def test_a_partitioned_folder_in_s3_is_one_table(s3: fs.FileSystem, tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "wine", partition_cols=["organic"])
    for path in (tmp_path / "wine").rglob("*.parquet"):
        write(s3, f"wines/folder/{path.relative_to(tmp_path / 'wine')}", path.read_bytes())
    write(s3, "wines/folder/_SUCCESS", b"")

    stored = sources.read_file("s3://wines/folder", target="target")

    assert stored.name == "folder"
    assert len(stored.rows) == 178
    assert stored.rows.features.columns.tolist() == [*table().columns.drop(["target", "organic"]), "organic"]
    assert stored.fingerprint == sources.read_file(str(tmp_path / "wine"), target="target").fingerprint


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://wines/none.csv", "s3://wines/none.csv does not exist"),
        ("s3://wines/empty/", "does not exist|without Parquet files"),
        ("s3://no-such-bucket/wine.csv", "s3://no-such-bucket/wine.csv"),
        ("s3://wines/empty.csv", "is empty"),
        ("s3://key:secret@wines/wine.csv", r"s3://wines/wine\.csv holds credentials"),
        ("s3://wines/wine.csv?access_key=a&secret_key=b", "holds credentials"),
        ("s3://wines/wine.csv?colour=red", "cannot be read: .*colour"),
    ],
)
def test_an_unusable_file_in_s3_is_refused_without_secrets(s3: fs.FileSystem, url: str, message: str) -> None:
    write(s3, "wines/empty.csv", b"")

    with pytest.raises(DataError, match=message) as error:
        sources.read_file(url, target="target")

    assert "secret" not in str(error.value)


def test_a_file_in_s3_that_changes_while_it_is_read_is_refused(s3: fs.FileSystem) -> None:
    content = table().to_csv(index=False).encode()
    write(s3, "wines/moving.csv", content)

    def overwrite(_head: bytes, _size: int) -> None:
        write(s3, "wines/moving.csv", content.replace(b"cellar 1", b"cellar 2"))

    stored = object_stores.find("s3://wines/moving.csv")
    with (
        pytest.raises(DataError, match="was changed by another process"),
        object_stores.open_stored(stored, check_head=overwrite),
    ):
        raise AssertionError


def test_a_file_and_a_folder_in_google_cloud_storage_are_read(google: str, tmp_path: Path) -> None:
    filesystem = fs.GcsFileSystem(anonymous=True, scheme="http", endpoint_override=google)
    path = tmp_path / "wine.parquet"
    table().to_parquet(path)
    for name in ("wine.parquet", "folder/year=2025/a.parquet", "folder/year=2026/b.parquet"):
        write(filesystem, f"wines/{name}", path.read_bytes())
    server = f"endpoint_override={google}&scheme=http"

    file = sources.read_file(f"gs://anonymous@wines/wine.parquet?{server}", target="target")
    folder = sources.read_file(f"gs://anonymous@wines/folder?{server}", target="target")

    assert file.fingerprint == sources.read_file(str(path), target="target").fingerprint
    assert folder.rows.features["year"].tolist() == np.repeat([2025.0, 2026.0], 178).tolist()

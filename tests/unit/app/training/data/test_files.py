import gzip
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from app.errors import DataError
from app.training.data import sources


@pytest.fixture
def web_server_url(houses: pd.DataFrame, tmp_path: Path) -> Iterator[str]:
    """A web server on the loopback address that serves houses.csv.

    Below /encoded it calls the compression of a file an encoding; below /short the connection ends too early.
    """
    houses.to_csv(tmp_path / "houses.csv", index=False)

    class RequestHandler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, directory=str(tmp_path), **options)  # type: ignore[arg-type] # passed on unchanged

        def translate_path(self, path: str) -> str:
            return super().translate_path(path.replace("/encoded", "").replace("/short", ""))

        def send_header(self, keyword: str, value: str) -> None:
            if keyword == "Content-Length" and self.path.startswith("/short"):
                value = str(int(value) + 10)
            super().send_header(keyword, value)
            if keyword == "Content-Length" and self.path.startswith("/encoded"):
                super().send_header("Content-Encoding", "gzip")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), RequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_file_is_read_over_http(web_server_url: str) -> None:
    dataset = sources.read_file(f"{web_server_url}/houses.csv?version=2", target="sold")

    assert dataset.rows.features.shape == (20, 2)


def test_the_error_for_a_missing_file_on_a_web_server_names_the_url(web_server_url: str) -> None:
    with pytest.raises(DataError, match=r"none\.csv cannot be fetched: .*404"):
        sources.read_file(f"{web_server_url}/none.csv", target="sold")


def test_a_web_server_that_compresses_its_answers_does_not_change_the_content(
    houses: pd.DataFrame, web_server_url: str, tmp_path: Path
) -> None:
    houses.to_csv(tmp_path / "houses.csv.gz", index=False)
    with gzip.open(tmp_path / "plain.csv.gz.csv", "wt") as file:
        houses.to_csv(file, index=False)

    kept = sources.read_file(f"{web_server_url}/houses.csv.gz", target="sold")
    decoded = sources.read_file(f"{web_server_url}/encoded/plain.csv.gz.csv", target="sold")
    declared = sources.read_file(f"{web_server_url}/encoded/houses.csv.gz", target="sold")

    assert kept.fingerprint == decoded.fingerprint == declared.fingerprint


def test_a_download_that_ends_too_early_is_refused(web_server_url: str) -> None:
    with pytest.raises(DataError, match=r"houses\.csv cannot be fetched: .*without sending complete"):
        sources.read_file(f"{web_server_url}/short/houses.csv", target="sold")


def test_a_url_of_another_scheme_is_refused_with_the_allowed_schemes() -> None:
    with pytest.raises(DataError, match=r"scheme of ftp://x/y\.csv is not supported.*http, https, s3, gs"):
        sources.read_file("ftp://x/y.csv", target="sold")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_that_another_process_changes_is_refused(
    houses: pd.DataFrame, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"houses.{ending}"
    houses.to_parquet(path) if ending == "parquet" else houses.to_csv(path, index=False)

    def change(*_arguments: object) -> None:
        with path.open("ab") as file:
            file.write(b"x")

    monkeypatch.setattr("app.training.data.tables.check_fits", change)

    with pytest.raises(DataError, match="was changed by another process while it was read"):
        sources.read_file(str(path), target="sold")


def test_a_file_that_is_replaced_by_a_rename_is_read_as_it_was(
    houses: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    houses.to_csv(tmp_path / "houses.csv", index=False)
    (tmp_path / "new.csv").write_text("broken")

    monkeypatch.setattr(
        "app.training.data.tables.check_fits", lambda *_: (tmp_path / "new.csv").rename(tmp_path / "houses.csv")
    )

    assert len(sources.read_file(str(tmp_path / "houses.csv"), target="sold").rows) == 20


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("abfs://rows/wine.csv", r"abfs://rows/wine\.csv cannot be read: .*account name"),
        ("abfs://rows@account:secret@x/wine.csv", "cannot be read|holds credentials"),
        ("gs://user:secret@rows/wine.csv", "holds credentials"),
        (
            "gs://anonymous@rows/wine.csv?endpoint_override=127.0.0.1:9&scheme=http&retry_limit_seconds=1",
            r"gs://anonymous@rows/wine\.csv cannot be read: .*UNAVAILABLE",
        ),
    ],
)
def test_an_unusable_url_of_an_object_store_is_refused(url: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        sources.read_file(url, target="sold")

    assert "secret" not in str(error.value)

import gzip
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.errors import DataError, ParameterError
from app.training.data import sources, split


@pytest.fixture
def houses() -> pd.DataFrame:
    rooms = np.arange(20.0)
    return pd.DataFrame({"rooms": rooms, "area": rooms**2, "sold": ["yes", "no"] * 10})


@pytest.mark.parametrize(
    ("name", "rows", "columns", "classes"),
    [("breast-cancer", 569, 30, 2), ("digits", 1797, 64, 10), ("wine", 178, 13, 3)],
)
def test_bundled_data_is_real_and_complete(name: str, rows: int, columns: int, classes: int) -> None:
    dataset = sources.bundled(name)

    assert dataset.features.shape == (rows, columns)
    assert dataset.target.nunique() == classes


def test_bundled_labels_are_the_names_of_the_classes() -> None:
    assert set(sources.bundled("breast-cancer").target) == {"malignant", "benign"}


def test_an_unknown_data_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ParameterError, match=r"'iris'.*breast-cancer, digits, wine"):
        sources.bundled("iris")


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_a_file_is_read_by_its_ending(houses: pd.DataFrame, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"houses.{ending}"
    houses.to_parquet(path) if ending == "parquet" else houses.to_csv(path, index=False)

    dataset = sources.from_file(str(path), target="sold")

    assert list(dataset.features) == ["rooms", "area"]
    assert dataset.features.to_numpy().tolist() == houses[["rooms", "area"]].to_numpy().tolist()
    assert dataset.target.tolist() == houses["sold"].tolist()


@pytest.fixture
def web(houses: pd.DataFrame, tmp_path: Path) -> Iterator[str]:
    """A web server on loopback that offers houses.csv."""
    houses.to_csv(tmp_path / "houses.csv", index=False)

    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, directory=str(tmp_path), **options)  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_file_is_read_from_a_web_server(web: str) -> None:
    dataset = sources.from_file(f"{web}/houses.csv?version=2", target="sold")

    assert dataset.features.shape == (20, 2)


def test_a_url_without_a_file_is_an_error_that_names_it(web: str) -> None:
    with pytest.raises(DataError, match=r"none\.csv cannot be fetched: .*404"):
        sources.from_file(f"{web}/none.csv", target="sold")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.csv", None, "cannot be read: No such file"),
        ("empty.csv", b"", "is empty"),
        ("blank.csv", b" \n \n", "is empty"),
        ("ragged.csv", b"a,sold\n1,yes\n1,2,3,4\n", "cannot be read as CSV"),
        ("latin.csv", b"a,sold\n1,\xff\xfe\n", "cannot be read as CSV"),
        ("broken.parquet", b"PAR1 no parquet", "cannot be read as Parquet"),
        ("broken.csv.gz", gzip.compress(b"a,sold\n1,yes")[:-12], "cannot be read as CSV"),
        ("rows.txt", b"a,sold\n1,yes\n", r"no known file ending.*\.csv, \.csv\.gz, \.parquet"),
        ("header.csv", b"a,sold\n", "no rows"),
        ("other.csv", b"a,b\n1,2\n", "no column 'sold'.*Allowed: a, b"),
        ("lonely.csv", b"sold\nyes\nno\n", "no feature column"),
        ("words.csv", b"a,city,road,sold\n1,x,y,yes\n2,x,y,no\n", "not numbers: city, road"),
        ("missing.csv", b"a,b,sold\n1,2,yes\n3,,no\n", "data row 2, column 'b': nan"),
        ("infinite.csv", b"a,b,sold\n1,inf,yes\n3,4,no\n", "data row 1, column 'b': inf"),
        ("huge.csv", b"a,sold\n1,yes\n1e39,no\n", r"data row 2, column 'a': 1e\+39"),
        ("unlabelled.csv", b"a,sold\n1,yes\n2,\n3,no\n", "1 rows without a label.*data row 2"),
        ("one.csv", b"a,sold\n1,yes\n2,yes\n", "only the class 'yes'"),
        ("fractions.csv", b"a,sold\n1,0.5\n2,1.5\n", "fractions"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_that_says_why(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(DataError, match=message):
        sources.from_file(str(path), target="sold")


def test_a_class_with_one_row_is_refused_with_the_rows_that_it_needs(houses: pd.DataFrame) -> None:
    houses.loc[0, "sold"] = "perhaps"
    dataset = sources.from_frame(houses, target="sold", name="houses", source="houses")

    with pytest.raises(DataError, match=r"'perhaps' \(1\).*at least 5 rows a class"):
        split.split(dataset, test_size=0.2, seed=1)


def test_the_split_holds_every_class_out_in_its_share() -> None:
    dataset = sources.bundled("wine")

    parts = split.split(dataset, test_size=0.25, seed=7)

    shares = dataset.target.value_counts(normalize=True)
    held_out = parts.test_target.value_counts(normalize=True)
    assert parts.test_features.index.intersection(parts.train_features.index).empty
    assert (shares - held_out).abs().max() < 0.02


def test_the_same_seed_holds_out_the_same_rows() -> None:
    dataset = sources.bundled("wine")

    first, again, other = (split.split(dataset, test_size=0.25, seed=seed) for seed in (7, 7, 8))

    assert first.test_features.index.tolist() == again.test_features.index.tolist()
    assert first.test_features.index.tolist() != other.test_features.index.tolist()


@pytest.mark.parametrize("change", ["value", "label", "name", "order"])
def test_the_fingerprint_tells_every_change_of_the_data(houses: pd.DataFrame, change: str) -> None:
    changed = houses.copy()
    match change:
        case "value":
            changed.loc[3, "area"] += 1e-9
        case "label":
            changed.loc[3, "sold"] = "yes"
        case "name":
            changed = changed.rename(columns={"area": "size"})
        case "order":
            changed = changed.iloc[::-1]

    before, again, after = (
        sources.from_frame(frame, target="sold", name="n", source="s").fingerprint
        for frame in (houses, houses, changed)
    )

    assert before == again
    assert before != after


def test_synthetic_data_has_the_shape_of_the_original() -> None:
    dataset = sources.synthetic(n_samples=1500)

    assert dataset.features.shape == (1500, 20)
    assert set(dataset.target) == {0, 1}

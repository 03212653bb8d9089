import gzip
from pathlib import Path

import pandas as pd
import pytest

from app.errors import DataError, ParameterError
from app.training.data import sources


@pytest.mark.parametrize(
    ("name", "rows", "columns", "classes"),
    [
        ("breast-cancer", 569, 30, 2),
        ("diabetes", 442, 10, 214),
        ("digits", 1797, 64, 10),
        ("iris", 150, 4, 3),
        ("wine", 178, 13, 3),
    ],
)
def test_a_bundled_data_set_has_all_rows_columns_and_classes(name: str, rows: int, columns: int, classes: int) -> None:
    dataset = sources.load_bundled(name)

    assert dataset.rows.features.shape == (rows, columns)
    assert dataset.rows.target.nunique() == classes


def test_the_labels_of_a_bundled_data_set_are_class_names() -> None:
    assert set(sources.load_bundled("breast-cancer").rows.target) == {"malignant", "benign"}


def test_an_unknown_data_set_name_is_refused_and_the_allowed_names_are_listed() -> None:
    with pytest.raises(ParameterError, match=r"'titanic'.*breast-cancer, diabetes, digits, iris, wine"):
        sources.load_bundled("titanic")


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_the_file_ending_decides_the_format(houses: pd.DataFrame, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"houses.{ending}"
    houses.to_parquet(path) if ending == "parquet" else houses.to_csv(path, index=False)

    dataset = sources.read_file(str(path), target="sold")

    assert list(dataset.rows.features) == ["rooms", "area"]
    assert dataset.rows.features.to_numpy().tolist() == houses[["rooms", "area"]].to_numpy().tolist()
    assert dataset.rows.target.tolist() == houses["sold"].tolist()


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
        ("infinite.csv", b"a,b,sold\n1,inf,yes\n3,4,no\n", "data row 1, column 'b': inf"),
        ("huge.csv", b"a,sold\n1,yes\n1e39,no\n", r"data row 2, column 'a': 1e\+39"),
        (
            "unlabelled.csv",
            b"a,sold\n1,yes\n2,\n3,no\n",
            "1 rows without a value in the target column 'sold'.*data row 2",
        ),
        ("endless.csv", b"a,sold\n1,0.5\n2,inf\n", "1 infinite values in the target column.*data row 2"),
    ],
)
def test_the_error_for_an_unusable_file_gives_the_reason(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(DataError, match=message):
        sources.read_file(str(path), target="sold")


@pytest.mark.parametrize("change", ["value", "label", "name", "order"])
def test_every_change_of_the_data_changes_the_fingerprint(houses: pd.DataFrame, change: str) -> None:
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

    original, repeated, after_change = (
        sources.from_frame(frame, target="sold", name="n", source="s").fingerprint
        for frame in (houses, houses, changed)
    )

    assert original == repeated
    assert original != after_change


def test_synthetic_data_has_20_features_and_2_classes() -> None:
    dataset = sources.make_synthetic(n_samples=1500)

    assert dataset.rows.features.shape == (1500, 20)
    assert set(dataset.rows.target) == {0, 1}


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_data_that_does_not_fit_the_memory_is_refused_before_it_is_read(
    houses: pd.DataFrame, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"houses.{ending}"
    houses.to_parquet(path) if ending == "parquet" else houses.to_csv(path, index=False)
    monkeypatch.setattr("app.training.data.memory.free_memory", lambda: 1000)

    with pytest.raises(DataError, match=f"houses.{ending} has .* million values"):
        sources.read_file(str(path), target="sold")


def test_a_csv_column_of_numbers_and_text_is_text(tmp_path: Path) -> None:
    count = 300_000
    values = [str(i) for i in range(count)]
    values[-1] = "none"
    pd.DataFrame({"a": values, "sold": ["yes", "no"] * (count // 2)}).to_csv(tmp_path / "mixed.csv", index=False)

    features = sources.read_file(str(tmp_path / "mixed.csv"), target="sold").rows.features

    assert features["a"].tolist() == values

from pathlib import Path

import pandas as pd
import pytest

from app.errors import DataError
from app.training.data import sources


def test_a_folder_of_parquet_files_is_one_table_with_a_column_for_each_partition(tmp_path: Path) -> None:
    folder = tmp_path / "houses"
    for year in (2025, 2026):
        for part in range(2):
            path = folder / f"year={year}" / f"{part}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            frame = pd.DataFrame(
                {"rooms": [part, 5], "sold": ["yes", "no"], **({"garden": [True, False]} if part else {})}
            )
            frame.to_parquet(path)
    (folder / "_SUCCESS").touch()
    (folder / "year=2026" / ".part.parquet.crc").touch()

    dataset = sources.read_file(str(folder), target="sold")

    assert dataset.name == "houses"
    assert dataset.rows.features["rooms"].tolist() == [0, 5, 1, 5, 0, 5, 1, 5]
    assert dataset.rows.features["year"].tolist() == [2025] * 4 + [2026] * 4
    assert dataset.rows.features["garden"].isna().tolist() == [True, True, False, False] * 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"notes.txt": b"x"}, "is a folder without Parquet files"),
        ({"a.parquet": b"PAR1 no parquet"}, "cannot be read as a folder of Parquet files"),
    ],
)
def test_an_unusable_folder_is_refused(tmp_path: Path, content: dict[str, bytes], message: str) -> None:
    for name, text in content.items():
        (tmp_path / name).write_bytes(text)

    with pytest.raises(DataError, match=message):
        sources.read_file(str(tmp_path), target="sold")


def test_a_folder_whose_files_disagree_about_a_type_is_refused(houses: pd.DataFrame, tmp_path: Path) -> None:
    houses.to_parquet(tmp_path / "a.parquet")
    houses.assign(rooms="many").to_parquet(tmp_path / "b.parquet")

    with pytest.raises(DataError, match=r"folder of Parquet files: .*rooms"):
        sources.read_file(str(tmp_path), target="sold")


def test_a_folder_that_changes_while_it_is_read_is_refused(
    houses: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    houses.to_parquet(tmp_path / "a.parquet")

    monkeypatch.setattr(
        "app.training.data.parquet_folder.check_fits", lambda *_: houses.to_parquet(tmp_path / "b.parquet")
    )

    with pytest.raises(DataError, match="was changed by another process"):
        sources.read_file(str(tmp_path), target="sold")

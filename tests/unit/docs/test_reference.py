"""The pages of docs/reference are equal to the output of `make docs`."""

import os

import pytest

from scripts.reference.__main__ import FOLDER, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_make_docs_writes(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")

    assert written == PAGES[name](), f"docs/reference/{name} is not up to date: run `make docs` and commit the result."


def test_the_folder_holds_no_page_that_make_docs_does_not_write() -> None:
    assert {path.name for path in FOLDER.iterdir()} == PAGES.keys()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_depends_on_neither_terminal_nor_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [variable for variable in os.environ if variable.startswith(("MANTA_", "MLFLOW_", "RAY_"))]:
        monkeypatch.delenv(variable)
    before = PAGES[name]()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("MANTA_MODEL_NAME", "Other")

    assert PAGES[name]() == before

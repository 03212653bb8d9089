import json
from pathlib import Path

import pytest

from app.cli.jobs.reproduce import Recipe
from app.cli.jobs.reproduced_model import ReproductionError, with_model
from app.training.models.source import file_hash

TAGS = {
    "mlflow.source.git.commit": "c" * 40,
    "data.fingerprint": "d1",
    "model.fingerprint": "m1",
    "model.file_sha256": "f1",
    "model.parameters": json.dumps({"depth": None, "rate": 0.5, "kind": "auto", "trees": 7}),
    "search.terms": json.dumps({"space": {"depth": [None, 3], "rate": {"low": 0.1, "high": 1}, "kind": ["auto"]}}),
}


def test_a_search_of_a_users_model_is_replaced_by_the_parameters_that_it_found() -> None:
    tags = TAGS | {"train.arguments": "--dataset wine --model model.py:build --set trees=7 --trials 3 --folds 2"}

    recipe = Recipe.from_run("r1", tags, {"dataset": "wine"})

    assert recipe.model_hash == "f1"
    assert recipe.arguments == (
        *("--dataset", "wine", "--model", "model.py:build", "--set", "trees=7"),
        *("--set", "depth=null", "--set", "rate=0.5", "--set", 'kind="auto"'),
    )


def test_the_file_of_the_model_is_found_in_the_commit_by_its_hash(tmp_path: Path) -> None:
    for folder, text in (("a", "other = 1"), ("b", "same = 1")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.py").write_text(text)
    expected_hash = file_hash(tmp_path / "b" / "model.py")

    arguments = with_model(["--model", "/home/user/model.py:build", "--seed", "1"], tmp_path, expected_hash)

    assert arguments == ["--model", f"{tmp_path / 'b' / 'model.py'}:build", "--seed", "1"]


def test_another_content_in_the_commit_is_refused_with_both_hashes(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("other = 1")

    with pytest.raises(ReproductionError) as error:
        with_model(["--model", "model.py"], tmp_path, "f1")

    assert file_hash(tmp_path / "model.py") in error.value.detail
    assert "recorded f1" in error.value.detail


def test_a_file_that_is_not_in_the_commit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReproductionError, match="of the run is not in its commit"):
        with_model(["--model", "model.py"], tmp_path, "f1")

import pytest

from app.cli.jobs.reproduce import Recipe, ReproductionError, check_packages, compare
from app.training.data.dvc import DvcLocation
from app.training.provenance import package_versions

COMMIT = "c" * 40
TAGS = {
    "mlflow.source.git.commit": COMMIT,
    "train.arguments": "--dataset wine --trees 7",
    "data.fingerprint": "d1",
    "model.fingerprint": "m1",
    "package.numpy": package_versions()["numpy"],
    "data.source": "somewhere",
}
FOUND = {"n_estimators": "300", "max_depth": "None", "max_features": "0.3", "criterion": "entropy", "dataset": "wine"}


def recipe(arguments: str = "--dataset wine --trees 7", **tags: str) -> Recipe:
    named = {name.replace("_", "."): value for name, value in tags.items()}
    return Recipe.of("r1", TAGS | {"train.arguments": arguments} | named, FOUND)


def test_a_recipe_is_commit_options_packages_and_what_must_come_out() -> None:
    made = recipe()

    assert made.commit == COMMIT
    assert made.arguments == ("--dataset", "wine", "--trees", "7")
    assert made.packages == {"numpy": package_versions()["numpy"]}
    assert made.fingerprints == {"data.fingerprint": "d1", "model.fingerprint": "m1"}


def test_what_a_run_left_to_the_configured_default_is_written_out() -> None:
    assert recipe("--seed 3").arguments == ("--seed", "3", "--dataset", "wine")


@pytest.mark.parametrize("data", ["dvc:a b.csv@main", "dvc:a b.csv"])
def test_data_of_dvc_is_taken_at_the_commit_that_was_recorded(data: str) -> None:
    made = recipe(f"--data '{data}' --target sold", data_revision="f" * 40)

    assert made.arguments == ("--data", f"dvc:a b.csv@{'f' * 40}", "--target", "sold")


def test_a_search_is_not_made_again_since_the_run_holds_what_it_found() -> None:
    made = recipe("--dataset wine --trees 300 --trials 30 --space '{}' --seed 3")

    words = list(made.arguments)
    assert words[:6] == ["--dataset", "wine", "--trees", "300", "--seed", "3"]
    assert sorted(words[6:]) == sorted(["--max-features", "0.3", "--criterion", "entropy"])


def test_a_default_that_no_option_takes_is_left_out() -> None:
    tags = TAGS | {"train.arguments": "--dataset wine --trials 3"}

    made = Recipe.of("r1", tags, FOUND | {"max_features": "sqrt"})

    assert "--max-features" not in made.arguments


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mlflow_source_git_commit": COMMIT + "-dirty"}, "code of the run r1 was changed and not committed"),
        ({"data_revision": COMMIT + "-dirty"}, "data's entry of the run r1 was changed and not committed"),
        ({"mlflow_source_git_commit": ""}, "has no mlflow.source.git.commit"),
        ({"model_fingerprint": ""}, "has no model.fingerprint"),
    ],
)
def test_a_run_that_does_not_say_what_it_was_made_of_is_refused(changes: dict[str, str], said: str) -> None:
    with pytest.raises(ReproductionError, match=said) as refused:
        recipe(**changes)

    assert refused.value.next_step


def test_other_versions_of_packages_are_named_with_those_that_are_here() -> None:
    made = recipe(package_numpy="1.0.0", package_nowhere="2.0")

    with pytest.raises(ReproductionError) as refused:
        check_packages(made)

    assert f"numpy 1.0.0 (here {package_versions()['numpy']}), nowhere 2.0 (here missing)" in str(refused.value)
    assert f"git show {COMMIT}:requirements/app.txt" in str(refused.value)


def test_the_same_versions_are_no_reason_to_refuse() -> None:
    check_packages(recipe())


@pytest.mark.parametrize(
    ("again", "said"),
    [
        ({"data.fingerprint": "d2", "model.fingerprint": "m2"}, "The data came out as d2, and the run had d1"),
        ({"data.fingerprint": "d1", "model.fingerprint": "m2"}, "The model came out as m2, and the run had m1"),
    ],
)
def test_what_came_out_another_one_is_told_data_first(again: dict[str, str], said: str) -> None:
    with pytest.raises(ReproductionError, match=said):
        compare(recipe(), again)


def test_what_came_out_the_same_is_accepted() -> None:
    compare(recipe(), {"data.fingerprint": "d1", "model.fingerprint": "m1", "more": "x"})


@pytest.mark.parametrize(
    ("text", "path", "revision"),
    [("dvc:a/b.csv", "a/b.csv", ""), ("dvc:a/b.csv@v1", "a/b.csv", "v1"), ("dvc:a@b.csv@v1", "a@b.csv", "v1")],
)
def test_a_location_of_dvc_is_a_path_and_what_follows_the_last_at(text: str, path: str, revision: str) -> None:
    location = DvcLocation.parse(text)

    assert (location.path, location.revision) == (path, revision)
    assert str(location) == text

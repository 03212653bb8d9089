import pytest

from app.cli.jobs.reproduce import Recipe, check_packages, compare
from app.cli.jobs.reproduced_model import ReproductionError
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
PARAMS = {"n_estimators": "300", "max_depth": "None", "max_features": "0.3", "criterion": "entropy", "dataset": "wine"}


def recipe(arguments: str = "--dataset wine --trees 7", **tags: str) -> Recipe:
    dotted = {name.replace("_", "."): value for name, value in tags.items()}
    return Recipe.from_run("r1", TAGS | {"train.arguments": arguments} | dotted, PARAMS)


def test_a_recipe_holds_commit_arguments_packages_and_fingerprints() -> None:
    run_recipe = recipe()

    assert run_recipe.commit == COMMIT
    assert run_recipe.arguments == ("--dataset", "wine", "--trees", "7")
    assert run_recipe.packages == {"numpy": package_versions()["numpy"]}
    assert run_recipe.fingerprints == {"data.fingerprint": "d1", "model.fingerprint": "m1"}


def test_the_default_dataset_of_a_run_becomes_an_argument() -> None:
    assert recipe("--seed 3").arguments == ("--seed", "3", "--dataset", "wine")


@pytest.mark.parametrize("data", ["dvc:a b.csv@main", "dvc:a b.csv"])
def test_dvc_data_is_pinned_to_the_recorded_commit(data: str) -> None:
    run_recipe = recipe(f"--data '{data}' --target sold", data_revision="f" * 40)

    assert run_recipe.arguments == ("--data", f"dvc:a b.csv@{'f' * 40}", "--target", "sold")


def test_a_search_is_replaced_by_the_parameters_that_it_found() -> None:
    run_recipe = recipe("--dataset wine --trees 300 --trials 30 --space '{}' --seed 3")

    arguments = list(run_recipe.arguments)
    assert arguments[:6] == ["--dataset", "wine", "--trees", "300", "--seed", "3"]
    assert sorted(arguments[6:]) == sorted(["--max-features", "0.3", "--criterion", "entropy"])


def test_a_default_that_no_option_can_express_is_left_out() -> None:
    tags = TAGS | {"train.arguments": "--dataset wine --trials 3"}

    run_recipe = Recipe.from_run("r1", tags, PARAMS | {"max_features": "sqrt"})

    assert "--max-features" not in run_recipe.arguments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mlflow_source_git_commit": COMMIT + "-dirty"}, "run r1 used uncommitted changes: the code"),
        ({"data_revision": COMMIT + "-dirty"}, "run r1 used uncommitted changes: the DVC entry"),
        ({"mlflow_source_git_commit": ""}, "has no tag mlflow.source.git.commit"),
        ({"model_fingerprint": ""}, "has no tag model.fingerprint"),
        ({"data_source": "log:30d"}, "r1 was trained on log:30d, and the prediction log has changed since"),
    ],
)
def test_a_run_without_complete_committed_records_is_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ReproductionError, match=message) as error:
        recipe(**changes)

    assert error.value.next_step


def test_a_run_with_added_rows_of_the_log_is_refused() -> None:
    with pytest.raises(
        ReproductionError, match="r1 was trained on 9 rows of log:30d, and the prediction log has chang"
    ):
        Recipe.from_run("r1", TAGS | {"data.added_log": "9 rows of log:30d"}, PARAMS)


def test_a_log_that_had_no_labelled_rows_is_not_read_again() -> None:
    assert recipe("--dataset wine --add-log 30d --trees 7").arguments == ("--dataset", "wine", "--trees", "7")


def test_package_versions_that_differ_are_listed_with_the_installed_ones() -> None:
    run_recipe = recipe(package_numpy="1.0.0", package_nowhere="2.0")

    with pytest.raises(ReproductionError) as error:
        check_packages(run_recipe)

    assert f"numpy 1.0.0 (here {package_versions()['numpy']}), nowhere 2.0 (here missing)" in str(error.value)
    assert f"git show {COMMIT}:requirements/app.txt" in str(error.value)


def test_equal_package_versions_are_accepted() -> None:
    check_packages(recipe())


@pytest.mark.parametrize(
    ("new_tags", "message"),
    [
        (
            {"data.fingerprint": "d2", "model.fingerprint": "m2"},
            "The data differs: its fingerprint is d2, and the run recorded d1",
        ),
        (
            {"data.fingerprint": "d1", "model.fingerprint": "m2"},
            "The model differs: its fingerprint is m2, and the run recorded m1",
        ),
    ],
)
def test_a_difference_in_the_data_is_reported_before_one_in_the_model(new_tags: dict[str, str], message: str) -> None:
    with pytest.raises(ReproductionError, match=message):
        compare(recipe(), new_tags)


def test_equal_fingerprints_are_accepted() -> None:
    compare(recipe(), {"data.fingerprint": "d1", "model.fingerprint": "m1", "more": "x"})


@pytest.mark.parametrize(
    ("text", "path", "revision"),
    [("dvc:a/b.csv", "a/b.csv", ""), ("dvc:a/b.csv@v1", "a/b.csv", "v1"), ("dvc:a@b.csv@v1", "a@b.csv", "v1")],
)
def test_a_dvc_location_is_split_into_path_and_revision_at_the_last_at_sign(
    text: str, path: str, revision: str
) -> None:
    location = DvcLocation.parse(text)

    assert (location.path, location.revision) == (path, revision)
    assert str(location) == text

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier

from app.models.answers import Answers
from app.models.predictor import Predictor, compile_model
from app.models.signature import Columns
from app.serving.loading.served_model import ServedModel
from app.serving.shadow.comparison import LARGEST, SIZES, Comparer, Comparison, incomparable, merge
from tests.support.fake_models import served_model
from tests.support.replica_api import ROWS, artifact

COLORS = pd.Series(np.where(ROWS["a"] > 0.5, "red", np.where(ROWS["a"] > -0.5, "green", "blue")))
CLASSIFIER = compile_model(artifact(RandomForestClassifier(3, random_state=0).fit(ROWS, COLORS)), label="m")
REGRESSOR = compile_model(artifact(LinearRegression().fit(ROWS, ROWS["a"])), label="m")
WITHOUT_PROBABILITIES = compile_model(artifact(RidgeClassifier().fit(ROWS, COLORS)), label="m")
OTHER_CLASSES = compile_model(artifact(LogisticRegression().fit(ROWS, ROWS["b"] > 0)), label="m")


def version(number: str, predictor: Predictor = CLASSIFIER) -> ServedModel:
    return replace(served_model(number), predictor=predictor)


def comparer(ours: Predictor = CLASSIFIER, theirs: Predictor = CLASSIFIER, *, keeps_rows: bool = True) -> Comparer:
    return Comparer.of_versions(version("1", ours), version("2", theirs), keeps_rows=keeps_rows, now_s=1.0)


def classes(*labels: str, red: tuple[float, ...] = ()) -> Answers:
    """Answers of the classifier; `red` are the probabilities of one class, and the rest is that of another."""
    probabilities = np.array([[1 - value, 0, value] for value in red or [0.0] * len(labels)])
    return Answers(predictions=np.array(labels), probabilities=probabilities)


def labels(*names: str) -> Answers:
    return Answers(predictions=np.array(names))


def numbers(*values: float) -> Answers:
    return Answers(predictions=np.array(values))


def rows(count: int) -> np.ndarray:
    return np.arange(3.0 * count).reshape(count, 3)


def test_the_same_answers_agree_and_do_not_differ() -> None:
    compared = comparer()

    compared.add(rows(2), classes("red", "blue"), classes("red", "blue"), seconds=0.001)

    counts = compared.snapshot()
    assert (counts.requests, counts.rows, counts.equal_rows, counts.max) == (1, 2, 2, 0)
    assert counts.most_different == []


def test_the_confusion_matrix_has_the_champion_in_its_rows() -> None:
    compared = comparer()

    compared.add(rows(3), classes("red", "red", "blue"), classes("red", "green", "blue"), seconds=0.001)

    counts = compared.snapshot()
    assert counts.labels == ["blue", "green", "red"]
    assert counts.confusion.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1]]
    assert counts.equal_rows == 2


def test_the_classes_after_the_twentieth_share_one_count() -> None:
    many = replace(CLASSIFIER, labels=np.arange(50))
    compared = comparer(many, many)

    compared.add(rows(2), Answers(predictions=np.array([3, 40])), Answers(predictions=np.array([30, 49])), seconds=0.1)

    counts = compared.snapshot()
    assert (len(counts.labels), counts.labels[-1], counts.confusion.shape) == (21, "other", (21, 21))
    assert (counts.confusion[3, 20], counts.confusion[20, 20]) == (1, 1)


def test_a_class_that_only_the_shadow_has_is_counted() -> None:
    compared = comparer(CLASSIFIER, OTHER_CLASSES)

    compared.add(rows(1), classes("red"), Answers(predictions=np.array([True])), seconds=0.001)

    counts = compared.snapshot()
    assert counts.labels == ["blue", "green", "red", "False", "True"]
    assert (counts.confusion[2, 4], counts.equal_rows, counts.max) == (1, 0, 1)


def test_the_difference_of_a_classifier_is_that_of_its_probabilities() -> None:
    compared = comparer()

    compared.add(rows(2), classes("red", "red", red=(0.9, 0.6)), classes("red", "red", red=(0.8, 0.6)), seconds=0.001)

    counts = compared.snapshot()
    assert counts.max == pytest.approx(0.1)
    assert counts.sum == pytest.approx(0.1)


def test_the_difference_of_a_classifier_without_probabilities_is_one() -> None:
    compared = comparer(WITHOUT_PROBABILITIES, WITHOUT_PROBABILITIES)

    compared.add(rows(2), labels("red", "red"), labels("red", "blue"), seconds=0.001)

    assert (compared.snapshot().max, compared.snapshot().sum) == (1, 1)


def test_the_difference_of_a_regressor_is_that_of_its_numbers() -> None:
    compared = comparer(REGRESSOR, REGRESSOR)

    compared.add(rows(3), numbers(1, 2, 3), numbers(1, 2.5, 1), seconds=0.001)

    counts = compared.snapshot()
    assert (counts.sum, counts.max, counts.labels) == (2.5, 2, [])
    assert SIZES.quantiles(counts.sizes, (0.01, 0.5, 0.99)) == pytest.approx([0, 0.5, 2], rel=0.07)


def test_no_number_differs_from_a_number_and_not_from_itself() -> None:
    compared = comparer(REGRESSOR, REGRESSOR)

    compared.add(rows(3), numbers(np.nan, np.inf, np.nan), numbers(np.nan, np.inf, 1), seconds=0.001)

    counts = compared.snapshot()
    assert (counts.equal_rows, counts.max, len(counts.most_different)) == (2, LARGEST, 1)
    assert counts.most_different[0].champion == "nan"


def test_the_rows_that_differ_most_are_kept_once_each() -> None:
    compared = comparer(REGRESSOR, REGRESSOR)
    sizes = np.random.default_rng(0).permutation(100).astype(float)

    for _ in range(2):
        for start in range(0, 100, 10):
            part = slice(start, start + 10)
            compared.add(rows(100)[part], numbers(*np.zeros(10)), numbers(*sizes[part]), seconds=0.001)

    kept = compared.snapshot().most_different
    assert [row.difference for row in kept] == list(range(99, 79, -1))
    assert kept[0].row == rows(100)[int(np.argmax(sizes))].tolist()


def test_values_that_json_cannot_hold_and_long_texts_are_shortened() -> None:
    compared = comparer(REGRESSOR, REGRESSOR)
    row = np.array([[np.nan, "x" * 1000, None]], dtype=object)

    compared.add(row, numbers(1), numbers(2), seconds=0.001)

    assert compared.snapshot().most_different[0].row == [None, "x" * 200, None]


def test_without_examples_no_row_and_no_value_of_an_error_is_kept() -> None:
    compared = comparer(REGRESSOR, REGRESSOR, keeps_rows=False)

    compared.add(rows(1), numbers(1), numbers(2), seconds=0.001)
    compared.add_error(ValueError("secret"))

    counts = compared.snapshot()
    assert (counts.most_different, counts.last_error, counts.errors) == ([], "ValueError", 1)


def test_the_counts_of_two_replicas_are_those_of_one() -> None:
    def count(*parts: slice) -> Comparison:
        compared = comparer(REGRESSOR, REGRESSOR)
        for part in parts:
            compared.add(rows(60)[part], numbers(*np.zeros(60)[part]), numbers(*np.arange(60.0)[part]), seconds=0.001)
        return compared.snapshot()

    left, right = slice(0, 30), slice(30, 60)
    together, apart = count(left, right), merge([count(left), count(right)])

    assert apart is not None
    for name, value in vars(together).items():
        assert np.array_equal(getattr(apart, name), value), name


def test_counts_beside_another_champion_are_left_out() -> None:
    old = replace(comparer().snapshot(), champion="9", requests=5, since_s=0.5)

    merged = merge([old, comparer().snapshot()])

    assert merged is not None
    assert (merged.champion, merged.requests) == ("1", 0)
    assert merge([]) is None


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        (CLASSIFIER, ""),
        (OTHER_CLASSES, ""),
        (REGRESSOR, "it answers numbers, the champion classes"),
        (
            replace(CLASSIFIER, columns=Columns(CLASSIFIER.columns[:2])),
            "its columns differ from those of the champion: c",
        ),
    ],
)
def test_only_versions_with_the_same_columns_and_kind_of_answers_can_be_compared(
    theirs: Predictor, reason: str
) -> None:
    assert incomparable(CLASSIFIER, theirs) == reason

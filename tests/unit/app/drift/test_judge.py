from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from app.drift import columns
from app.drift.judge import judge
from app.records.reference import ColumnProfile
from tests.support.drift_data import reference_of, window_of

GENERATOR = np.random.default_rng(3)
ROWS = GENERATOR.normal(size=(2_000, 5))
HELD_OUT = GENERATOR.normal(size=(400, 5))
REFERENCE = reference_of(ROWS, HELD_OUT, GENERATOR.random(400))
UNLABELLED = [None] * 1_000


def sample(shift: float = 0.0, column: int = 0, rows: int = 1_000) -> tuple[pa.Table, list[str]]:
    generator = np.random.default_rng(7)
    features = generator.normal(size=(rows, 5))
    features[:, column] += shift
    return window_of(features, generator.random(rows))


def with_column(table: pa.Table, name: str, values: object) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def test_rows_like_the_training_rows_are_no_drift() -> None:
    window, labels = sample()

    judgement = judge(REFERENCE, window, labels)

    assert (judgement.verdict, judgement.reasons) == ("no drift", [])
    assert judgement.realised is not None
    assert judgement.realised.low < judgement.realised.after < judgement.realised.high
    assert judgement.estimated is not None
    assert judgement.estimated.after == pytest.approx(judgement.realised.after, abs=0.05)


def test_a_column_that_moved_is_named_with_its_size() -> None:
    window, _ = sample(0.5, column=2)

    judgement = judge(REFERENCE, window, UNLABELLED)

    assert judgement.verdict == "drift"
    assert "column 'x2' changed" in judgement.reasons
    first = judgement.columns[0]
    assert first.name == "x2"
    assert first.shift == pytest.approx(0.5, abs=0.1)
    assert [change.name for change in judgement.columns if change.is_changed] == ["x2"]


def test_a_column_that_the_model_ignores_is_reported_and_raises_no_alarm() -> None:
    reference = reference_of(ROWS, HELD_OUT, np.full(400, 0.5), influences=[1.0, 1.0, 0.0, 1.0, None])
    window, _ = sample(3.0, column=2)

    [change] = [change for change in judge(reference, window, UNLABELLED).columns if change.name == "x2"]

    assert change.is_changed
    assert not change.is_alarming


def test_columns_that_no_longer_belong_together_are_found() -> None:
    generator = np.random.default_rng(5)
    together = generator.normal(size=(2_000, 5))
    together[:, 4] = together[:, 3] + 0.1 * generator.normal(size=2_000)
    reference = reference_of(together, together[:400], generator.random(400))
    window, _ = sample()

    judgement = judge(reference, window, UNLABELLED)

    assert judgement.separation is not None
    assert judgement.separation.p_value < 1e-6
    assert set(list(judgement.separation.columns)[:2]) == {"x3", "x4"}


def test_labels_show_that_the_same_rows_mean_something_else() -> None:
    window, labels = sample()
    swapped = ["no" if label == "yes" else "yes" for label in labels]

    judgement = judge(REFERENCE, window, swapped)

    realised = judgement.realised
    assert realised is not None
    assert realised.after < realised.before
    assert judgement.reasons == [f"the realised score fell: accuracy {realised.before:.4f} to {realised.after:.4f}"]
    assert list(judgement.fallen_scores) == ["realised score"]


def test_rows_that_are_harder_lower_the_estimate() -> None:
    generator = np.random.default_rng(7)
    features = generator.normal(size=(1_000, 5))
    features[:, 0] *= 0.2
    window, labels = window_of(features, generator.random(1_000))

    estimated = judge(REFERENCE, window, UNLABELLED).estimated
    realised = judge(REFERENCE, window, labels).realised

    assert estimated is not None
    assert realised is not None
    assert estimated.p_value < 0.005
    assert estimated.after == pytest.approx(realised.after, abs=0.06)


def test_a_window_of_few_rows_is_not_judged() -> None:
    window, labels = sample(5.0, rows=49)

    judgement = judge(REFERENCE, window, labels)

    assert judgement.verdict == "not enough rows"
    assert judgement.notes == ["49 rows were logged. At least 50 are needed."]


def test_labels_of_another_type_are_left_out_and_counted() -> None:
    window, labels = sample()

    judgement = judge(REFERENCE, window, [1, 2.5, *labels[2:]])

    assert "2 labels are of another type than those of the training, and are left out." in judgement.notes
    assert judgement.realised is not None
    assert judgement.realised.rows == 998


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        ([*(["yes"] * 49), *([None] * 951)], "49 labels can be used, and at least 50 are needed."),
        (["yes"] * 1_000, "the metric roc_auc is not defined for these labels."),
    ],
)
def test_a_realised_score_that_is_not_judged_has_its_reason(labels: list[str | None], note: str) -> None:
    reference = replace(REFERENCE, profile=REFERENCE.profile.model_copy(update={"metric": "roc_auc"}))
    window, _ = sample()

    judgement = judge(reference, window, labels)

    assert judgement.realised is None
    assert f"The realised score is not judged: {note}" in judgement.notes


def test_labels_of_a_regression_keep_their_decimals_if_the_training_had_none() -> None:
    profile = REFERENCE.profile.model_copy(update={"task": "regression", "metric": "mae", "classes": []})
    held_out = with_column(with_column(REFERENCE.held_out, "prediction", np.zeros(400)), "label", np.arange(400) % 3)
    window = with_column(sample(rows=100)[0], "prediction", np.zeros(100))

    realised = judge(replace(REFERENCE, profile=profile, held_out=held_out), window, [0.75] * 100).realised

    assert realised is not None
    assert realised.after == pytest.approx(0.75)


def test_labels_that_are_no_class_by_their_type_are_left_out() -> None:
    held_out = with_column(REFERENCE.held_out, "label", np.arange(400) % 3)

    judgement = judge(replace(REFERENCE, held_out=held_out), sample()[0], [1.5, 10**30, "yes", 1.0, *[1] * 996])

    assert "3 labels are of another type than those of the training, and are left out." in judgement.notes
    assert judgement.realised is not None
    assert judgement.realised.rows == 997


def test_a_model_with_several_outputs_has_neither_answers_nor_scores_judged() -> None:
    window, labels = sample()

    judgement = judge(REFERENCE, with_column(window, "prediction", [[0, 1]] * window.num_rows), labels)

    assert (judgement.answers, judgement.estimated, judgement.realised) == (None, None, None)
    assert judgement.notes == ["Answers and scores are not judged, because the model has several outputs."]


def test_columns_that_are_not_in_the_log_are_counted() -> None:
    window, _ = sample()

    judgement = judge(REFERENCE, window.drop_columns(["feature.x1"]), UNLABELLED)

    assert "1 of 5 columns are not in the log." in judgement.notes
    assert len(judgement.columns) == 4


def texts(values: Sequence[str | None]) -> pa.Table:
    return pa.table({"feature.t": pa.array(values, pa.string())})


def text_profile(values: list[str]) -> ColumnProfile:
    counts = {text: values.count(text) for text in dict.fromkeys(values)}
    return ColumnProfile(name="t", kind="text", missing=0, categories=counts, category_count=len(counts))


def test_a_new_category_is_found() -> None:
    before = ["a", "b"] * 500

    change = columns.compare(text_profile(before), 1_000, texts(before), texts(["a", "b"] * 95 + ["new"] * 10))

    assert change.unseen == pytest.approx(0.05)
    assert change.p_value < 1e-4


def test_new_names_in_a_column_of_names_are_no_change() -> None:
    before = [f"name {index}" for index in range(900)]

    change = columns.compare(
        text_profile(before), 900, texts(before), texts([f"other {index}" for index in range(300)])
    )

    assert change.unseen == 1
    assert change.p_value == 1


def test_gaps_where_there_were_none_are_found() -> None:
    before = ["a", "b"] * 500

    change = columns.compare(text_profile(before), 1_000, texts(before), texts(["a", "b", None, "a"] * 50))

    assert change.missing == 0.25
    assert change.p_value < 1e-6

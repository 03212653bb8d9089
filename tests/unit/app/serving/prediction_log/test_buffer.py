"""The predictions that wait, and their table."""

import gc
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from mlflow.types import DataType

from app.models.answers import Answers
from app.models.signature import Column, Columns
from app.records.log_files import DATES_KEY
from app.serving.loading.served_model import ServedModel
from app.serving.prediction_log import buffer, prediction_table
from app.serving.prediction_log.batch import Batch, Predictions
from tests.support.fake_models import reply_of, request_with_id, served_model


def logged(*answered: tuple[ServedModel, np.ndarray, Answers]) -> list[tuple[Batch, Predictions]]:
    """Let a buffer keep answers, and return what the writer gets."""
    to_store = buffer.Buffer()
    for index, (model, rows, answers) in enumerate(answered):
        to_store.record(request_with_id(b"%d" % index), rows, reply_of(model, answers), "champion", rows.nbytes)
    return [(batch, batch.join_all()) for batch in to_store.batches()]


def test_the_names_of_columns_with_dates_are_in_the_file() -> None:
    columns = Columns([Column(name="day", type=DataType.datetime), Column(name="town", type=DataType.string)])
    model = served_model("1")
    model = replace(model, predictor=replace(model.predictor, columns=columns))
    rows = np.array([["2026-01-01T00:00:00", "x"]], dtype=object)
    [(batch, joined)] = logged((model, rows, Answers(predictions=np.ones(1))))

    table = prediction_table.prediction_table(batch, joined, kept=())

    assert table.schema.metadata[DATES_KEY] == b'["day"]'
    assert DATES_KEY not in prediction_table.prediction_table(batch, joined, kept=["town"]).schema.metadata


def test_a_model_whose_predictions_are_not_stored_yet_can_leave_the_memory() -> None:
    predictions_to_store = buffer.Buffer()
    model = served_model("1")
    alive = weakref.ref(model)

    answers = Answers(predictions=np.array(["x"]))
    predictions_to_store.record(request_with_id(b"a"), np.zeros((1, 1)), reply_of(model, answers), "champion", 9)
    del model
    gc.collect()

    assert alive() is None
    assert predictions_to_store.rows == 1


def test_a_request_without_an_id_gets_a_new_one() -> None:
    to_store, model, answers = buffer.Buffer(), served_model("1"), Answers(predictions=np.ones(1))
    for header in (b"a", b"", b"\xe9"):
        to_store.record(request_with_id(header), np.zeros((1, 1)), reply_of(model, answers), "champion", 9)
    [batch] = to_store.batches()

    table = prediction_table.prediction_table(batch, batch.join_all(), kept=())
    first, new, accented = table["request_id"].to_pylist()

    assert (first, len(new), accented) == ("a", 32, "é")


def test_answers_of_several_versions_are_logged_with_their_version() -> None:
    models, rows, answers = [served_model("1"), served_model("2")], np.zeros((1, 1)), Answers(predictions=np.ones(1))

    taken = logged(*[(models[index], rows, answers) for index in (0, 1, 0)])

    assert [(batch.version.version, joined.id_headers) for batch, joined in taken] == [
        ("1", [b"0", b"2"]),
        ("2", [b"1"]),
    ]


def test_a_full_buffer_gives_the_writer_nothing_of_a_version_whose_answers_do_not_fit() -> None:
    full = buffer.Buffer(max_bytes=0)
    answers = Answers(predictions=np.ones(1))

    full.record(request_with_id(b"a"), np.zeros((1, 1)), reply_of(served_model("1"), answers), "champion", 9)

    assert (full.batches(), full.dropped_rows) == ([], 1)


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ((2**53 + 1, 2, 2**53 + 3), [2**53 + 1, 2, 2**53 + 3]),
        ((1, 0.5, 3), [1.0, 0.5, 3.0]),
        ((2**53 + 1, 0.5), ["9007199254740993", "0.5"]),
        (("a", "longer"), ["a", "longer"]),
        (("a", 0.5), ["a", "0.5"]),
    ],
)
def test_answers_of_several_types_are_logged_without_a_loss(values: Sequence[object], kept: list[object]) -> None:
    model, rows = served_model("1"), np.zeros((1, 1))

    [(batch, joined)] = logged(*[(model, rows, Answers(predictions=np.array([value]))) for value in values])

    table = prediction_table.prediction_table(batch, joined, kept=())
    assert table["prediction"].to_pylist() == kept


def test_rows_of_several_types_are_logged_as_they_are() -> None:
    model, answers = served_model("1"), Answers(predictions=np.ones(1))
    rows = [np.array([[value]], dtype=dtype) for value, dtype in ((1.5, "f8"), (0.1, "f4"), (2**53 + 2, "i8"))]

    [(batch, joined)] = logged(*[(model, array, answers) for array in rows])

    table = prediction_table.prediction_table(batch, joined, kept=())
    assert table[f"feature.{batch.columns[0].name}"].to_pylist() == [1.5, float(np.float32(0.1)), 2.0**53 + 2]


def test_many_predictions_are_joined_before_they_are_written() -> None:
    to_store, model = buffer.Buffer(), served_model("1")
    count = 2 * buffer.JOIN_REQUESTS + 1
    for index in range(count):
        answers = Answers(predictions=np.array([index]), probabilities=np.array([[index, 0.5]]))
        to_store.record(request_with_id(b"%d" % index), np.full((1, 1), index), reply_of(model, answers), "champion", 9)
    before = to_store.rows, to_store.size_bytes

    to_store.join()

    [batch] = to_store.batches()
    assert (batch.waiting_requests, to_store.rows, to_store.size_bytes) == (1, *before)
    table = prediction_table.prediction_table(batch, batch.join_all(), kept=())
    assert table["request_id"].to_pylist() == [str(index) for index in range(count)]
    assert table["prediction"].to_pylist() == list(range(count))
    assert table["probabilities"].to_pylist() == [[index, 0.5] for index in range(count)]
    to_store.delete_joined(batch)
    assert (to_store.rows, to_store.size_bytes) == (0, 0)


def test_joined_predictions_wait_until_they_are_stored_although_their_version_no_longer_answers() -> None:
    to_store, rows, answers = buffer.Buffer(), np.zeros((1, 1)), Answers(predictions=np.ones(1))
    to_store.record(request_with_id(b"old"), rows, reply_of(served_model("1"), answers), "champion", 9)
    [old] = to_store.batches()
    old.join_all()
    to_store.record(request_with_id(b"new"), rows, reply_of(served_model("2"), answers), "champion", 9)

    ids = [batch.join_all().id_headers for batch in to_store.batches()]

    assert ids == [[b"old"], [b"new"]]


def test_predictions_that_cannot_be_joined_are_dropped_and_counted() -> None:
    to_store, model, answers = buffer.Buffer(), served_model("1"), Answers(predictions=np.ones(1))
    for width in (1, 2):
        to_store.record(request_with_id(b"a"), np.zeros((1, width)), reply_of(model, answers), "champion", 9)
    [batch] = to_store.batches()
    with pytest.raises(ValueError, match="dimensions"):
        batch.join_all()

    to_store.discard(batch)

    assert (to_store.rows, to_store.size_bytes, to_store.dropped_rows) == (0, 0, 2)
    assert to_store.batches() == []


def test_the_time_of_a_prediction_is_when_it_was_answered() -> None:
    to_store, answers = buffer.Buffer(), Answers(predictions=np.ones(1))
    reply = reply_of(served_model("1"), answers)._replace(ended_s=time.perf_counter() - 60)
    now_ms = time.time() * 1000
    to_store.record(request_with_id(b"a"), np.zeros((1, 1)), reply, "champion", 9)

    [batch] = to_store.batches()

    assert batch.join_all().times_ms.tolist() == [pytest.approx(now_ms - 60_000, abs=1_000)]


def test_a_replica_that_predicts_too_many_rows_keeps_a_share_of_the_requests() -> None:
    model, answers = served_model("1"), Answers(predictions=np.ones(2))
    to_store = buffer.Buffer(rows_per_second=1_000)

    def predict(requests: int) -> None:
        for _ in range(requests):
            to_store.record(request_with_id(b"a"), np.zeros((2, 1)), reply_of(model, answers), "champion", 9)

    predict(10_000)
    assert to_store.limit_share(10.0) == 0.5
    predict(10_000)
    assert to_store.limit_share(4.0) == 0.2
    predict(10_000)
    assert to_store.limit_share(100.0) == 1
    predict(10)

    rows = {batch.share: batch.rows for batch in to_store.batches()}
    assert list(rows) == [1, 0.5, 0.2]
    assert rows[1] == 2 * 10_010
    assert 9_500 < rows[0.5] < 10_500
    assert 3_600 < rows[0.2] < 4_400
    assert to_store.dropped_rows == 0


@pytest.mark.parametrize(("rows_per_second", "share"), [(0, 0.4), (1_000, 0.4), (100, 0.1)])
def test_no_more_than_the_configured_share_is_kept(rows_per_second: int, share: float) -> None:
    model, answers = served_model("1"), Answers(predictions=np.ones(1_000))
    to_store = buffer.Buffer(max_share=0.4, rows_per_second=rows_per_second)
    to_store.record(request_with_id(b"a"), np.zeros((1_000, 1)), reply_of(model, answers), "champion", 9)

    assert to_store.limit_share(1.0) == share


def test_a_version_that_answers_again_after_a_pause_is_logged() -> None:
    to_store, model, answers = buffer.Buffer(), served_model("1"), Answers(predictions=np.ones(1))

    for index in range(2):
        to_store.record(request_with_id(b"%d" % index), np.zeros((1, 1)), reply_of(model, answers), "champion", 9)
        [batch] = to_store.batches()
        joined = batch.join_all()
        to_store.delete_joined(batch)
        assert (joined.id_headers, to_store.batches()) == ([b"%d" % index], [])


def test_every_request_is_logged_once_in_its_role_while_the_writer_takes_what_waits() -> None:
    model, answers = served_model("1"), Answers(predictions=np.array(["x"]))
    to_store, count = buffer.Buffer(), 20_000
    taken, is_over = list[tuple[int, str]](), threading.Event()

    def take() -> None:
        while True:
            is_last = is_over.is_set()
            for batch in to_store.batches():
                taken.extend((int(header), batch.role) for header in batch.join_all().id_headers)
                to_store.delete_joined(batch)
            if is_last:
                return

    writer_thread = threading.Thread(target=take)
    writer_thread.start()
    roles = ["champion" if index % 50 < 25 else "challenger" for index in range(count)]
    for index, role in enumerate(roles):
        to_store.record(request_with_id(b"%d" % index), np.zeros((1, 1)), reply_of(model, answers), role, 9)
    is_over.set()
    writer_thread.join()

    assert sorted(taken) == list(enumerate(roles))
    assert (to_store.rows, to_store.size_bytes, to_store.dropped_rows) == (0, 0, 0)

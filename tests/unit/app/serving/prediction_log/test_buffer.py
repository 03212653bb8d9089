"""The predictions that wait, and their table."""

import gc
import threading
import weakref
from dataclasses import replace

import numpy as np
from mlflow.types import DataType

from app.models.answers import Answers
from app.models.signature import Column, Columns
from app.records.log_files import DATES_KEY
from app.serving.loading.served_model import ServedModel
from app.serving.prediction_log import buffer, prediction_table
from app.serving.prediction_log.batch import Predictions
from tests.support.fake_models import served_model


def logged(*answered: tuple[ServedModel, np.ndarray, Answers]) -> list[Predictions]:
    """Let a buffer keep answers, and return what the writer gets."""
    to_store = buffer.Buffer()
    for index, (model, rows, answers) in enumerate(answered):
        to_store.add(model, rows, answers, id_header=b"%d" % index, role="champion", body_bytes=rows.nbytes)
    return [batch.head(batch.counts) for batch in to_store.batches()]


def test_the_names_of_columns_with_dates_are_in_the_file() -> None:
    columns = Columns([Column(name="day", type=DataType.datetime), Column(name="town", type=DataType.string)])
    model = served_model("1")
    model = replace(model, predictor=replace(model.predictor, columns=columns))
    rows = np.array([["2026-01-01T00:00:00", "x"]], dtype=object)
    [batch] = logged((model, rows, Answers(predictions=np.ones(1))))

    table = prediction_table.prediction_table(batch, share=1.0, kept=())

    assert table.schema.metadata[DATES_KEY] == b'["day"]'
    assert DATES_KEY not in prediction_table.prediction_table(batch, share=1.0, kept=["town"]).schema.metadata


def test_a_model_whose_predictions_are_not_stored_yet_can_leave_the_memory() -> None:
    predictions_to_store = buffer.Buffer()
    model = served_model("1")
    alive = weakref.ref(model)

    answers = Answers(predictions=np.array(["x"]))
    predictions_to_store.add(model, np.zeros((1, 1)), answers, id_header=b"a", role="champion", body_bytes=9)
    del model
    gc.collect()

    assert alive() is None
    assert predictions_to_store.rows == 1


def test_a_request_without_an_id_gets_a_new_one() -> None:
    to_store, model, answers = buffer.Buffer(), served_model("1"), Answers(predictions=np.ones(1))
    for header in (b"a", b"", b"\xe9"):
        to_store.add(model, np.zeros((1, 1)), answers, id_header=header, role="champion", body_bytes=9)
    [batch] = to_store.batches()

    first, new, accented = prediction_table.prediction_table(batch.head(batch.counts), share=1.0, kept=())[
        "request_id"
    ].to_pylist()

    assert (first, len(new), accented) == ("a", 32, "é")


def test_answers_of_several_versions_are_logged_with_their_version() -> None:
    models, rows, answers = [served_model("1"), served_model("2")], np.zeros((1, 1)), Answers(predictions=np.ones(1))

    taken = logged(*[(models[index], rows, answers) for index in (0, 1, 0)])

    assert [(batch.version.version, batch.id_headers) for batch in taken] == [("1", [b"0", b"2"]), ("2", [b"1"])]


def test_a_full_buffer_gives_the_writer_nothing_of_a_version_whose_answers_do_not_fit() -> None:
    full = buffer.Buffer(max_bytes=0)
    answers = Answers(predictions=np.ones(1))

    full.add(served_model("1"), np.zeros((1, 1)), answers, id_header=b"a", role="champion", body_bytes=9)

    assert (full.batches(), full.dropped_rows) == ([], 1)


def test_answers_of_several_types_are_logged_without_a_conversion() -> None:
    model, rows = served_model("1"), np.zeros((1, 1))
    answers = [Answers(predictions=np.array([value])) for value in (2**53 + 1, 0.5, 2**53 + 3)]

    integers, floats = logged(*[(model, rows, answer) for answer in answers])

    column = [
        prediction_table.prediction_table(batch, share=1.0, kept=())["prediction"] for batch in (integers, floats)
    ]
    assert [values.to_pylist() for values in column] == [[2**53 + 1, 2**53 + 3], [0.5]]


def test_rows_of_several_types_are_logged_as_they_are() -> None:
    model, answers = served_model("1"), Answers(predictions=np.ones(1))
    rows = [np.array([[value]], dtype=dtype) for value, dtype in ((1.5, "f8"), (2.5, "f4"), (3.5, "f8"))]

    taken = logged(*[(model, array, answers) for array in rows])

    assert [batch.rows.tolist() for batch in taken] == [[[1.5], [3.5]], [[2.5]]]


def test_answers_with_and_without_probabilities_are_logged() -> None:
    model, rows, predictions = served_model("1"), np.zeros((1, 1)), np.ones(1)
    with_probabilities = Answers(predictions=predictions, probabilities=np.array([[0.25, 0.75]]))

    taken = logged((model, rows, with_probabilities), (model, rows, Answers(predictions=predictions)))

    first, second = [batch.answers.probabilities for batch in taken]
    assert first is not None
    assert (first.tolist(), second) == ([[0.25, 0.75]], None)


def test_a_version_that_answers_again_after_a_pause_is_logged() -> None:
    to_store, model, answers = buffer.Buffer(), served_model("1"), Answers(predictions=np.ones(1))

    for index in range(2):
        to_store.add(model, np.zeros((1, 1)), answers, id_header=b"%d" % index, role="champion", body_bytes=9)
        [batch] = to_store.batches()
        predictions = batch.head(batch.counts.copy())
        to_store.delete(batch, predictions.counts)
        assert (predictions.id_headers, to_store.batches()) == ([b"%d" % index], [])


def test_every_request_is_logged_once_in_its_role_while_the_writer_takes_what_waits() -> None:
    model, answers = served_model("1"), Answers(predictions=np.array(["x"]))
    to_store, count = buffer.Buffer(), 20_000
    taken, is_over = list[tuple[int, str]](), threading.Event()

    def take() -> None:
        while True:
            is_last = is_over.is_set()
            for batch in to_store.batches():
                predictions = batch.head(batch.counts.copy())
                taken.extend((int(header), batch.role) for header in predictions.id_headers)
                to_store.delete(batch, predictions.counts)
            if is_last:
                return

    writer_thread = threading.Thread(target=take)
    writer_thread.start()
    roles = ["champion" if index % 50 < 25 else "challenger" for index in range(count)]
    for index, role in enumerate(roles):
        to_store.add(model, np.zeros((1, 1)), answers, id_header=b"%d" % index, role=role, body_bytes=9)
    is_over.set()
    writer_thread.join()

    assert sorted(taken) == list(enumerate(roles))
    assert (to_store.rows, to_store.size_bytes, to_store.dropped_rows) == (0, 0, 0)

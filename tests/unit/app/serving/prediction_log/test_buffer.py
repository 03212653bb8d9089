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
from tests.support.fake_models import served_model


def batches(*answered: tuple[ServedModel, np.ndarray, Answers]) -> list[buffer.Batch]:
    """Let a buffer pack answers, and take the batches."""
    to_store = buffer.Buffer()
    for index, (model, rows, answers) in enumerate(answered):
        to_store.add(model, rows, answers, id_header=b"%d" % index, role="champion", body_bytes=rows.nbytes)
    return to_store.take()


def test_the_names_of_columns_with_dates_are_in_the_file() -> None:
    columns = Columns([Column(name="day", type=DataType.datetime), Column(name="town", type=DataType.string)])
    model = served_model("1")
    model = replace(model, predictor=replace(model.predictor, columns=columns))
    rows = np.array([["2026-01-01T00:00:00", "x"]], dtype=object)
    [batch] = batches((model, rows, Answers(predictions=np.ones(1))))

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
    assert predictions_to_store.held_rows == 1


def test_answers_of_several_versions_are_logged_with_their_version() -> None:
    models, rows, answers = [served_model("1"), served_model("2")], np.zeros((1, 1)), Answers(predictions=np.ones(1))

    taken = batches(*[(models[index], rows, answers) for index in (0, 1, 0)])

    assert [(batch.version.version, batch.id_headers) for batch in taken] == [("1", [b"0", b"2"]), ("2", [b"1"])]


def test_a_full_buffer_gives_the_writer_nothing_of_a_version_whose_answers_do_not_fit() -> None:
    full = buffer.Buffer(max_bytes=0)
    answers = Answers(predictions=np.ones(1))

    full.add(served_model("1"), np.zeros((1, 1)), answers, id_header=b"a", role="champion", body_bytes=9)

    assert (full.take(), full.dropped_rows) == ([], 1)


def test_answers_of_several_types_are_logged_without_a_conversion() -> None:
    model, rows = served_model("1"), np.zeros((1, 1))
    answers = [Answers(predictions=np.array([value])) for value in (2**53 + 1, 0.5, 2**53 + 3)]

    integers, floats = batches(*[(model, rows, answer) for answer in answers])

    column = [
        prediction_table.prediction_table(batch, share=1.0, kept=())["prediction"] for batch in (integers, floats)
    ]
    assert [values.to_pylist() for values in column] == [[2**53 + 1, 2**53 + 3], [0.5]]


def test_every_request_is_logged_once_in_its_role_while_the_writer_takes_what_waits() -> None:
    model, answers = served_model("1"), Answers(predictions=np.array(["x"]))
    to_store, count = buffer.Buffer(), 20_000
    taken, is_over = list[tuple[int, str]](), threading.Event()

    def take() -> None:
        while True:
            is_last = is_over.is_set()
            for batch in to_store.take():
                taken.extend((int(header), batch.role) for header in batch.id_headers)
                to_store.release(batch)
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
    assert (to_store.held_rows, to_store.size_bytes, to_store.dropped_rows) == (0, 0, 0)

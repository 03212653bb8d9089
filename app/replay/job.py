"""Replays the prediction log through a version, and stores the comparison in the MLflow run of the version."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
from mlflow.entities.model_registry import ModelVersion

from app.errors import DataError, ParameterError
from app.models.answers import Answers
from app.models.predictor import Predictor, compile_model
from app.models.registry import Registry
from app.models.shadow_runs import ShadowRuns
from app.records import tables
from app.records.log_reader import AnsweredRows, read_answered
from app.records.open_store import require_store
from app.replay.requests import LoggedRequest, find_labels, find_mismatch, read_requests
from app.replay.result import Replay
from app.replay.score import ReplayScore, compare_scores
from app.serving.shadow import figures as shadow_figures
from app.serving.shadow.comparison import Comparer, answers_classes
from app.serving.shadow.messages import Latency
from app.settings import Settings
from app.training.evaluation.champion import NotComparableError, list_columns

TIME_LIMIT_S: Final = 600.0
"""A replay ends after this time. The requests are replayed in random order, so that they represent the period."""

NO_LATENCY: Final = Latency(p50_ms=None, p95_ms=None, p99_ms=None)
"""Latencies are not compared: the machine of the command is not that of the service."""

Replayed: TypeAlias = list[tuple[LoggedRequest, Answers]]
"""Requests, each with the answers of the version."""


def run(settings: Settings, *, version: str, period: timedelta) -> Replay:
    """Replay what the service answered in a period through a version, in this process. `write` stores the result.

    Args:
        settings: MLflow, the registered model, where the prediction log is, and whether rows may be shown.
        version: Number of the version.
        period: How far back the replay begins.

    Raises:
        LogOffError: There is no prediction log.
        ModelNotFoundError: There is no such version.
        ModelRefusedError: This release cannot load the version.
        DataError: The log has no row in the period, or none that the version can answer.
        PlatformError: The log cannot be read.
        RegistryUnavailableError: MLflow does not answer.
    """
    store = require_store(settings, purpose="replay")
    registry, name, now = Registry(settings), settings.model_name, datetime.now(UTC)
    model_version = registry.find(name, version=version)
    number, since = str(model_version.version), now - period
    answered = read_answered(store, model=name, since=since)
    if not answered.predictions:
        raise DataError(
            f"The prediction log has no row of {name!r} since {since:%Y-%m-%d %H:%M} UTC.",
            next_step="Name a longer period, such as --from-log 30d, or another model with --name.",
        )
    predictor = compile_model(registry.fetch(model_version), label=f"{name} version {number}")
    requests, notes = _read_requests(answered, predictor, number)
    comparer = Comparer(
        ", ".join(requests),
        labels=_labels([answered.predictions[answerer] for answerer in requests], predictor),
        is_classifier=answers_classes(predictor),
        has_same_classes=True,  # `read_requests` leaves out probabilities of other classes
        keeps_rows=settings.show_examples,
        now_s=now.timestamp(),
    )
    replayed = _replay(predictor, list(chain.from_iterable(requests.values())), comparer, notes)
    score = _compare_scores(model_version, predictor, replayed, notes)
    comparison = comparer.snapshot()
    return Replay(
        model=name,
        version=number,
        since=since,
        until=now,
        logged_rows=answered.logged_rows,
        answered_by={answerer: sum(len(request.rows) for request in part) for answerer, part in requests.items()},
        columns=predictor.columns.names,
        figures=shadow_figures.build(comparison, champion_latency=NO_LATENCY),
        rows=comparison.most_different,
        score=score,
        notes=notes,
    )


def write(replay: Replay, settings: Settings) -> None:
    """Write a replay to the MLflow run of its version.

    Raises:
        ModelNotFoundError: The version or its run was deleted, or the version has no run.
        RegistryUnavailableError: MLflow or its artifact store does not answer.
    """
    runs = ShadowRuns(settings.mlflow_tracking_uri, replay.model)
    runs.log(replay.version, metrics=replay.metrics(), step=0, documents=replay.documents())


def _read_requests(
    answered: AnsweredRows, predictor: Predictor, number: str
) -> tuple[dict[str, list[LoggedRequest]], list[str]]:
    """Return the requests that the version can answer, by the version that answered then, and notes about the others.

    Raises:
        DataError: The version can answer none.
    """
    requests: dict[str, list[LoggedRequest]] = {}
    notes: list[str] = []
    for answerer, table in answered.predictions.items():
        mismatch = find_mismatch(table, predictor)
        if mismatch:
            notes.append(f"The rows of version {answerer} cannot be replayed: {mismatch}.")
        else:
            requests[answerer] = read_requests(table, answered.labels[answerer], predictor)
    if not requests:
        raise DataError(
            " ".join(notes),
            next_step=f"Choose a period in which the log holds the columns of version {number}. The key "
            "predictionLogColumns of the stack names the columns that the service logs.",
        )
    logged = {name: None for answerer in requests for name in tables.feature_names(answered.predictions[answerer])}
    unused = [name for name in logged if name not in predictor.columns.names]
    if unused:
        notes.append(f"Version {number} does not take the columns {list_columns(unused)} of the logged rows.")
    if number in requests:
        own_rows = sum(len(request.rows) for request in requests[number])
        notes.append(f"Version {number} itself answered {own_rows} of the rows. These compare it with itself.")
    return requests, notes


def _labels(answered: Sequence[pa.Table], predictor: Predictor) -> list[bool | str | int | float]:
    """Return the classes that were answered and those of the version; empty for numbers and for several outputs."""
    if predictor.labels is None:
        return []
    logged = chain.from_iterable(map(find_labels, answered))
    return list(dict.fromkeys([*logged, *predictor.labels.tolist()]))


def _replay(predictor: Predictor, requests: Sequence[LoggedRequest], comparer: Comparer, notes: list[str]) -> Replayed:
    """Answer requests in random order, and compare the answers, until all are answered or the time is up.

    Raises:
        DataError: The version answers another number of values per row than was answered then.
    """
    deadline_s = time.monotonic() + TIME_LIMIT_S
    replayed: Replayed = []
    for position in np.random.default_rng(0).permutation(len(requests)):
        if time.monotonic() > deadline_s:
            notes.append(f"The replay was ended after {TIME_LIMIT_S:g} s.")
            break
        request = requests[position]
        try:
            answers = predictor.predict(request.rows)
        except Exception as error:  # noqa: BLE001 - a model may raise anything
            comparer.add_error(error)
            continue
        then, again = request.answers.predictions, answers.predictions
        if then.shape != again.shape:
            raise DataError(
                f"The version answers {again[0].size} values per row, and {then[0].size} were answered then.",
                next_step="Choose a period or a model with the same number of outputs.",
            )
        comparer.add(request.rows, request.answers, answers, seconds=None)
        replayed.append((request, answers))
    return replayed


def _compare_scores(
    version: ModelVersion, predictor: Predictor, replayed: Replayed, notes: list[str]
) -> ReplayScore | None:
    """Compare the scores of the labelled rows. A note says why there is no score."""
    try:
        return compare_scores(version, predictor, replayed)
    except NotComparableError as error:
        notes.append(f"The labelled rows cannot be scored: version {version.version} {error.fault}.")
    except (DataError, ParameterError) as error:
        notes.append(f"The labelled rows cannot be scored: {error.detail}")
    return None

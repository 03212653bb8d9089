"""The events of the service: when each happens, and the fields of its log line.

A log call gets an event as its argument `extra`: `log.info("...", extra=events.ROLLOUT_STEP(model=name, ...))`. The
message of the call says the same in a sentence. `app.serving.event_log.json_lines` writes the fields.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Event:
    """Something that happened to the service."""

    name: str
    when: str
    fields: tuple[str, ...]

    def __call__(self, **values: str | float | None) -> dict[str, object]:
        """Build the argument `extra` of a log call. A test compares the names with `fields`."""
        return {"event": self.name, "fields": values}


REPLICA_READY: Final = Event("replica_ready", "A replica has started and accepts requests.", ("model", "version"))
REPLICA_NOT_READY: Final = Event(
    "replica_not_ready",
    "A replica that starts has no version that it can serve. It tries again until it has one.",
    ("model", "reason"),
)
REPLICA_STOPPED: Final = Event("replica_stopped", "A replica accepts no more requests.", ("model", "version"))
REPLICA_BEHIND: Final = Event(
    "replica_behind",
    "A replica serves another version than the fleet, and cannot load the version of the fleet.",
    ("model", "version", "reason"),
)
COPY_SERVES: Final = Event(
    "copy_serves",
    "A replica that starts serves the copy of another replica or of its node, because it cannot load the champion: "
    "MLflow does not answer, or the replica refuses the version.",
    ("model", "version", "reason"),
)
VERSION_SERVES: Final = Event(
    "version_serves",
    "A replica answers with another version from now on.",
    ("model", "version", "previous", "role"),
)
VERSION_REFUSED: Final = Event(
    "version_refused", "A replica refuses a version.", ("model", "version", "role", "attempts", "reason")
)
LOAD_FINISHED: Final = Event(
    "load_finished",
    "Every replica has loaded the version.",
    ("model", "version", "role", "replicas", "prepare_ms", "swap_ms"),
)
LOAD_FAILED: Final = Event(
    "load_failed",
    "A load has failed. It changed nothing, or it was undone.",
    ("model", "version", "role", "error", "reason"),
)
LOAD_EXPIRED: Final = Event(
    "load_expired", "The replica that ran a load is gone. Another replica ends the load.", ("load",)
)
REGISTRY_LOST: Final = Event(
    "registry_lost", "A replica cannot read from MLflow which version is the champion.", ("model", "reason")
)
REGISTRY_FOUND: Final = Event(
    "registry_found", "A replica can read again from MLflow which version is the champion.", ("model",)
)
MODEL_WITHDRAWN: Final = Event("model_withdrawn", "The service no longer serves a model.", ("model",))
MODEL_PUT_OUT: Final = Event(
    "model_put_out", "A replica has put a model out of memory, to make room for another model.", ("model",)
)
ROLLOUT_BEGAN: Final = Event("rollout_began", "A rollout of a version has begun.", ("model", "version", "champion"))
ROLLOUT_STEP: Final = Event(
    "rollout_step",
    "The version of a rollout gets another share of the requests.",
    ("model", "version", "champion", "share"),
)
ROLLOUT_HELD: Final = Event(
    "rollout_held",
    "A rollout waits for a person, because the versions predict different classes too often.",
    ("model", "version", "champion", "reason"),
)
ROLLOUT_STUCK: Final = Event("rollout_stuck", "A rollout cannot take its next step.", ("model", "reason"))
ROLLOUT_ENDED: Final = Event(
    "rollout_ended", "A rollout has ended.", ("model", "version", "champion", "verdict", "reason")
)
SHADOW_READY: Final = Event(
    "shadow_ready", "A replica answers copies of requests with a version from now on.", ("model", "version", "share")
)
SHADOW_REFUSED: Final = Event(
    "shadow_refused", "A replica cannot load the version of a shadow.", ("model", "version", "reason")
)
SHADOW_STOPPED: Final = Event("shadow_stopped", "A replica no longer answers copies of requests.", ("model", "version"))
CHALLENGER_FAILED: Final = Event(
    "challenger_failed",
    "The version of a rollout has failed on a request, and the champion answers it. At most one line in ten seconds.",
    ("model", "version", "role", "reason"),
)
REQUESTS_DROPPED: Final = Event(
    "requests_dropped",
    "A replica has refused predictions with 503, because too many waited. At most one line in ten seconds.",
    ("requests", "seconds", "reason"),
)
ROWS_NOT_LOGGED: Final = Event(
    "rows_not_logged",
    "A replica has answered rows that the prediction log does not hold. At most one line in 30 seconds.",
    ("rows", "reason"),
)
RETRAINING_DECIDED: Final = Event(
    "retraining_decided",
    "The drift schedule has judged a champion, and has decided whether a training begins. The job of the schedule "
    "writes this line, with the `replica` `drift-schedule`.",
    ("model", "version", "begins", "judgement", "reason"),
)

FIELDS: Final = {
    "attempts": "How many times in a row the replica has refused the version.",
    "begins": "Whether a training begins.",
    "champion": "Number of the version that served when the rollout began.",
    "error": "Title of the error, as in its problem document.",
    "judgement": "Run of MLflow with the judgement.",
    "load": "Model and version of the load.",
    "model": "Name of the registered model.",
    "prepare_ms": "Milliseconds until every replica had the version ready.",
    "previous": "Number of the version that served before; null if none did.",
    "reason": "Why, in a sentence.",
    "replicas": "Number of replicas.",
    "requests": "Number of refused predictions.",
    "role": "`champion`, or `challenger` for the version of a rollout.",
    "rows": "Number of rows.",
    "seconds": "Seconds in which the predictions were refused.",
    "share": "Percentage of the requests that the version answers, or of which it gets a copy.",
    "swap_ms": "Milliseconds that the swap on all replicas took.",
    "verdict": "`promoted`, `rolled back`, `aborted`, `refused` or `held`.",
    "version": "Number of the version; null if none serves.",
}
"""Meaning of the fields."""


def all_events() -> list[Event]:
    """List the events in the order of this module."""
    return [value for value in globals().values() if isinstance(value, Event)]

"""The log lines about what a replica serves."""

import logging

from app import names
from app.serving.event_log import events
from app.serving.fleet.protocol import Refusal

log = logging.getLogger(names.SERVING_LOG)


def version_serves(model: str, version: str, previous: str | None, role: str) -> None:
    """Log that a replica answers with another version."""
    event = events.VERSION_SERVES(model=model, version=version, previous=previous, role=role)
    log.info("%s version %s serves", model, version, extra=event)


def version_refused(model: str, refusal: Refusal, role: str) -> None:
    """Log that a replica refuses a version."""
    version, attempts, reason = refusal.version, refusal.attempts, refusal.reason
    event = events.VERSION_REFUSED(model=model, version=version, role=role, attempts=attempts, reason=reason)
    log.error("version %s of %r cannot serve: %s", version, model, reason, extra=event)


def copy_serves(model: str, version: str | None, reason: str) -> None:
    """Log that a replica that starts serves a copy, because it cannot load the champion."""
    event = events.COPY_SERVES(model=model, version=version, reason=reason)
    log.warning("this replica serves a copy of version %s: %s", version, reason, extra=event)


def not_ready(model: str, reason: str) -> None:
    """Log that a replica that starts has no version to serve."""
    log.error("%s: %s", names.NOT_READY_MESSAGE, reason, extra=events.REPLICA_NOT_READY(model=model, reason=reason))


def started(model: str, version: str | None) -> None:
    """Log that a replica takes requests."""
    log.info("this replica is ready: version %s", version, extra=events.REPLICA_READY(model=model, version=version))


def stopped(model: str, version: str | None) -> None:
    """Log that a replica takes no requests any more."""
    log.info("this replica stops: version %s", version, extra=events.REPLICA_STOPPED(model=model, version=version))


def fell_behind(model: str, version: str | None, reason: str) -> None:
    """Log that a replica cannot load what the fleet serves."""
    event = events.REPLICA_BEHIND(model=model, version=version, reason=reason)
    log.warning("this replica fell behind the fleet and cannot catch up: %s", reason, extra=event)


def alias_read(model: str, *, trouble: str, before: str) -> None:
    """Log that MLflow does not answer any more, or answers again.

    Args:
        model: Name of the registered model.
        trouble: Why the alias could not be read; empty if it was read.
        before: `trouble` of the previous read.
    """
    if trouble and not before:
        log.warning("%s", trouble, extra=events.REGISTRY_LOST(model=model, reason=trouble))
    elif before and not trouble:
        log.info("the champion of %r can be looked up again", model, extra=events.REGISTRY_FOUND(model=model))


def load_expired(label: str) -> None:
    """Log that a load is ended, because its replica is gone."""
    log.warning("no replica runs the load of %s any more", label, extra=events.LOAD_EXPIRED(load=label))

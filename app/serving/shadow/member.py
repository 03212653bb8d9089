"""The part of one replica in a shadow: it loads the version beside the champion."""

import asyncio
import copy
import logging
import time
from dataclasses import dataclass
from typing import Final

from app import names
from app.errors import MantaError, ModelRefusedError
from app.serving.event_log import events
from app.serving.fleet.protocol import Loader
from app.serving.fleet.replica import Replica
from app.serving.loading.child import unexpected
from app.serving.loading.served_model import ServedModel
from app.serving.measures.measures import Measures
from app.serving.shadow.comparison import Comparison, incomparable
from app.serving.shadow.messages import ShadowState
from app.serving.shadow.shadow import Shadow

log = logging.getLogger(names.SERVING_LOG)

FIRST_PAUSE_S: Final = 30.0
LONGEST_PAUSE_S: Final = 900.0
"""Pause before a replica tries again to load a version. It doubles with each failure."""


@dataclass(frozen=True, kw_only=True)
class ShadowReport:
    """The part of one replica."""

    replica: str
    is_held: bool
    """Whether the replica holds the shadow."""
    error: MantaError | None
    """Why the replica does not hold the shadow; None before a failure."""
    trouble: str
    """Why the replica does not compare the shadow that it holds; empty if it does."""
    comparison: Comparison | None
    """The counts of the replica since it holds the shadow; None before the first copy."""


class ShadowMember:
    """The part of one replica in shadows.

    Args:
        replica: Serves the champion.
        keeps_rows: Whether rows may be kept and shown.
        measures: Counts what versions do on this replica.
        loader: Prepares the version; None for the loader of the champion.
    """

    def __init__(self, replica: Replica, *, keeps_rows: bool, measures: Measures, loader: Loader | None = None) -> None:
        self.state: ShadowState | None = None
        """The shadow that a replica has read last in MLflow; None for no shadow."""
        self._replica = replica
        self.keeps_rows = keeps_rows
        self._measures = measures
        self._loader = loader or replica.loader
        self._shadow: Shadow | None = None
        self._error: MantaError | None = None
        self._loading: asyncio.Task[None] | None = None
        self._pause_s = FIRST_PAUSE_S
        self._next_load_s = 0.0

    @property
    def shadow(self) -> Shadow | None:
        """The shadow that gets copies; None if there is none, or if its version has become the champion."""
        shadow = self._shadow
        if shadow is not None and shadow.served.key[1] == self._replica.served_version:
            return None
        return shadow

    def on_state(self, state: ShadowState | None) -> None:
        """Take over what a replica has read, and begin to load the version if this replica does not hold it."""
        known, self.state = self.state, state
        if state is None or known is None or not state.continues(known):
            self.stop()
        if state is None:
            return
        if self._shadow is not None:
            self._shadow.share = state.share / 100
        elif self._loading is None and time.monotonic() >= self._next_load_s:
            self._loading = asyncio.create_task(self._load(state))
            self._loading.add_done_callback(self._on_loaded)

    def report(self) -> ShadowReport:
        """Describe the part of this replica."""
        shadow = self._shadow
        return ShadowReport(
            replica=self._replica.name,
            is_held=shadow is not None,
            error=self._error,
            trouble=shadow.trouble if shadow else "",
            comparison=shadow.comparison if shadow else None,
        )

    def stop(self) -> None:
        """End the shadow, or its load."""
        if self._loading is not None:
            self._loading.cancel()
        if self._shadow is not None:
            self._shadow.stop()
            model, version = self._shadow.served.key
            event = events.SHADOW_STOPPED(model=model, version=version)
            log.info("%s version %s is no longer the shadow", model, version, extra=event)
        self._shadow = self._error = self._loading = None
        self._pause_s, self._next_load_s = FIRST_PAUSE_S, 0.0

    async def _load(self, state: ShadowState) -> None:
        label = f"{self._replica.model_name} version {state.version}"
        try:
            served = await self._prepare(state)
        except MantaError as error:
            self._error = copy.copy(error)  # without the traceback, which holds the model
        except Exception as error:
            log.exception("the shadow cannot be loaded")
            self._error = unexpected(error, label=label)
        else:
            self._error = None
            self._shadow = Shadow(served, share=state.share / 100, keeps_rows=self.keeps_rows, measures=self._measures)
            event = events.SHADOW_READY(model=self._replica.model_name, version=state.version, share=state.share)
            log.info("%s is the shadow", label, extra=event)
            return
        self._next_load_s = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        event = events.SHADOW_REFUSED(model=self._replica.model_name, version=state.version, reason=str(self._error))
        log.warning("%s cannot be the shadow: %s", label, self._error, extra=event)

    async def _prepare(self, state: ShadowState) -> ServedModel:
        version = await asyncio.to_thread(self._replica.registry.find, self._replica.model_name, version=state.version)
        served = await self._loader.prepare(version)
        champion = self._replica.served
        reason = incomparable(champion.predictor, served.predictor) if champion else ""
        if reason:
            raise ModelRefusedError(f"Version {state.version} cannot answer the champion's requests: {reason}.")
        return served

    def _on_loaded(self, task: asyncio.Task[None]) -> None:
        if self._loading is task:
            self._loading = None

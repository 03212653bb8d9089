"""The log lines about rollouts."""

import logging

from app import names
from app.serving.event_log import events
from app.serving.rollout.policy import RolloutState

log = logging.getLogger(names.SERVING_LOG)


def began(model: str, state: RolloutState) -> None:
    """Log that a version is to take the traffic step by step."""
    event = events.ROLLOUT_BEGAN(model=model, version=state.version, champion=state.champion)
    log.info("a rollout of version %s of %r begins", state.version, model, extra=event)


def step_began(model: str, state: RolloutState) -> None:
    """Log that the version takes another share of the requests."""
    share = 100 * state.policy.share(state.step)
    event = events.ROLLOUT_STEP(model=model, version=state.version, champion=state.champion, share=share)
    log.info("version %s takes %g %% of the requests", state.version, share, extra=event)


def held(model: str, state: RolloutState, reason: str) -> None:
    """Log that a rollout waits for a person."""
    event = events.ROLLOUT_HELD(model=model, version=state.version, champion=state.champion, reason=reason)
    log.warning("the rollout of version %s of %r waits: %s", state.version, model, reason, extra=event)


def stuck(model: str, reason: str) -> None:
    """Log that the next step cannot be taken."""
    log.warning("the rollout takes no step: %s", reason, extra=events.ROLLOUT_STUCK(model=model, reason=reason))


def ended(model: str, state: RolloutState) -> None:
    """Log how a rollout ended."""
    event = events.ROLLOUT_ENDED(
        model=model, version=state.version, champion=state.champion, verdict=state.verdict, reason=state.reason
    )
    message = "the rollout of version %s of %r ended: %s: %s"
    log.warning(message, state.version, model, state.verdict, state.reason, extra=event)

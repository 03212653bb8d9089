"""Every kind of hostile body, small and of the maximal size, several at once, beside an honest client."""

import asyncio
from collections.abc import Callable
from typing import Final

import pytest

from app.serving.requests.limits import MAX_BODY_BYTES
from tests.support.hostile import json_bodies, npy_bodies
from tests.support.hostile.body import Body
from tests.support.hostile.exchange import Target, send_at_once
from tests.support.hostile.observation import Case, Observer

pytestmark = pytest.mark.timeout(400)  # the first test starts the platform

SIZES_BYTES: Final = (MAX_BODY_BYTES, 2000)
AT_ONCE: Final = 4
"""Requests of each size that are sent at once."""
CLIENT_TIMEOUT_S: Final = 60
ANSWER_S: Final = 10
"""Longest time until an answer. The goal is 2 s on a machine that does nothing else."""


@pytest.mark.parametrize("body", [*json_bodies.BODIES, *npy_bodies.BODIES], ids=lambda body: body.name)
def test_a_hostile_body_is_refused_and_harms_nobody(
    body: Body, target: Target, observer: Observer, assert_unharmed: Callable[[Case], None]
) -> None:
    with observer.case(body.name) as case:
        case.answers += asyncio.run(send_at_once(target, body, SIZES_BYTES, times=AT_ONCE, timeout_s=CLIENT_TIMEOUT_S))

    assert_unharmed(case)
    assert {answer.status for answer in case.answers} <= body.statuses
    assert [answer for answer in case.answers if answer.status != 200 and not answer.has_a_reason] == []
    assert case.slowest_s < ANSWER_S

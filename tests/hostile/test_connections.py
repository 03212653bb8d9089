"""Clients that trickle, stop or hang up, and messages that break the rules of HTTP, beside an honest client."""

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Final

import pytest

from app.serving.requests.limits import MAX_BODY_BYTES, MAX_ROWS
from tests.support.hostile import json_bodies
from tests.support.hostile.body import CLOSED, Body, fixed
from tests.support.hostile.exchange import Answer, Target, exchange, hang_up, messages, send_at_once
from tests.support.hostile.observation import Case, Observer

pytestmark = pytest.mark.timeout(400)

CLIENTS: Final = 64
"""Clients that trickle or stop at the same time: as many as a replica has places."""
DEADLINE_S: Final = 30
"""Deadline for a whole body."""
SLACK_S: Final = 25
"""How much later the connection may end. HAProxy waits for 40 s, so that the service answers first."""
ENDED: Final = {400, 408, 503, CLOSED}
"""How a request without an end is ended, by the service or by HAProxy."""
HANG_UPS: Final = 64
AT_ONCE: Final = 8
"""Clients that hang up at the same time."""
ANSWER_S: Final = 10

VALID: Final = Body(name="valid", content=fixed(json.dumps({"features": [[0, 0, 0]] * MAX_ROWS}).encode()))
"""The largest number of rows, so that the answer takes several packets."""
ENDLESS: Final = Body(name="endless", content=fixed(b""), headers=(("Content-Length", str(MAX_BODY_BYTES)),))
"""A body of which only the length is sent."""


async def _wait_for_end(target: Target, requests: Sequence[Sequence[bytes]]) -> list[Answer]:
    exchanges = [exchange(target, parts, timeout_s=DEADLINE_S + SLACK_S, pause_s=1) for parts in requests]
    return await asyncio.gather(*exchanges)


def test_clients_that_trickle_a_body_are_ended_at_the_deadline(
    target: Target, observer: Observer, assert_unharmed: Callable[[Case], None]
) -> None:
    kinds = [
        [target.head(ENDLESS, None), *itertools.repeat(b"1", 2 * DEADLINE_S)],
        [target.head(VALID, None), *itertools.repeat(b"1\r\n1\r\n", 2 * DEADLINE_S)],
    ]
    with observer.case(f"{CLIENTS} clients that trickle a body") as case:
        case.answers += asyncio.run(_wait_for_end(target, kinds * (CLIENTS // 2)))

    assert_unharmed(case)
    assert {answer.status for answer in case.answers} <= {408, 503}
    assert [answer for answer in case.answers if not answer.has_a_reason] == []


def test_clients_that_stop_or_trickle_headers_are_ended_at_the_deadline(
    target: Target, observer: Observer, assert_unharmed: Callable[[Case], None]
) -> None:
    head, chunked = target.head(ENDLESS, None), target.head(VALID, None)
    kinds = [
        [head[:-2], *itertools.repeat(b"X-Header: 1\r\n", 2 * DEADLINE_S)],
        *([part] for part in (head[:20], head[:-4], head, head + b'{"features":[')),
        *([part] for part in (chunked, chunked + b"5\r\nab", chunked + b"5;x")),
    ]
    with observer.case(f"{CLIENTS} clients that stop or trickle headers") as case:
        case.answers += asyncio.run(_wait_for_end(target, kinds * (CLIENTS // len(kinds))))

    assert_unharmed(case)
    assert {answer.status for answer in case.answers} <= ENDED


async def _hang_up_often(target: Target, parts: Sequence[bytes], read_bytes: int) -> None:
    for _ in range(HANG_UPS // AT_ONCE):
        await asyncio.gather(*(hang_up(target, parts, read_bytes=read_bytes) for _ in range(AT_ONCE)))


@pytest.mark.parametrize(
    "stage",
    ["after connecting", "in the headers", "after the headers", "in the body", "after the body", "in the answer"],
)
def test_clients_that_hang_up_harm_nobody(
    stage: str, target: Target, observer: Observer, assert_unharmed: Callable[[Case], None]
) -> None:
    [[head, *content]] = messages(target, VALID, [0])
    parts = {
        "after connecting": [],
        "in the headers": [head[:30]],
        "after the headers": [head],
        "in the body": [head, content[0]],
        "after the body": [head, *content],
        "in the answer": [head, *content],
    }
    with observer.case(f"hang up {stage}") as case:
        asyncio.run(_hang_up_often(target, parts[stage], 100 if stage == "in the answer" else 0))

    assert_unharmed(case)


@pytest.mark.parametrize("body", json_bodies.MALFORMED_MESSAGES, ids=lambda body: body.name)
def test_a_malformed_message_is_refused_and_harms_nobody(
    body: Body, target: Target, observer: Observer, assert_unharmed: Callable[[Case], None]
) -> None:
    with observer.case(body.name) as case:
        case.answers += asyncio.run(send_at_once(target, body, [0], times=AT_ONCE, timeout_s=DEADLINE_S + SLACK_S))

    assert_unharmed(case)
    assert {answer.status for answer in case.answers} <= body.statuses
    assert case.slowest_s < ANSWER_S

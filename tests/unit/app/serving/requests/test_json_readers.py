"""The processes that read large JSON bodies."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import FeaturesError, MantaError, TooLargeError
from app.serving.requests import json_process, json_rows
from app.serving.requests.json_readers import JsonReaders
from app.serving.requests.row_schema import RowSchema, ValueKind
from tests.support.waiting import wait_until

SCHEMA = RowSchema(names=("a", "b"), kinds=(ValueKind.NUMBER, ValueKind.NUMBER))
MIXED = RowSchema(
    names=("city", "rooms", "sold", "price"),
    kinds=(ValueKind.TEXT, ValueKind.WHOLE_NUMBER, ValueKind.BOOLEAN, ValueKind.NUMBER),
)
LINES = [[1.5, -2.0], [3.25, 4.0]]
BODY = json.dumps({"features": LINES}).encode()
PROGRAM = """
import asyncio, os, psutil, signal
from app.serving.requests.json_readers import JsonReaders
from tests.unit.app.serving.requests.test_json_readers import BODY, SCHEMA

async def main():
    await JsonReaders(processes=1).read(BODY, schema=SCHEMA, max_rows=9)
    print(psutil.Process().children()[0].pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def read(readers: JsonReaders, body: bytes = BODY, schema: RowSchema = SCHEMA) -> np.ndarray:
    return await readers.read(body, schema=schema, max_rows=1000)


def children() -> list[psutil.Process]:
    """The processes for JSON bodies. Other tests may have left processes of other kinds."""
    return [child for child in psutil.Process().children() if json_process.__name__ in child.cmdline()]


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        (SCHEMA, BODY),
        (SCHEMA, b'{"features": [[1, ""]]}'),
        (SCHEMA, b"[]"),
        (SCHEMA, b'{"features": [' + b"[1,2]," * 1000 + b"[1,2]]}"),
        (MIXED, json.dumps({"rows": [{"city": "Rome", "rooms": 2, "sold": True, "price": 1e6}] * 250}).encode()),
        (MIXED, b'{"rows": [{"city": 1, "rooms": 2, "sold": true, "price": 3}]}'),
    ],
    ids=["rows", "wrong value", "wrong form", "too many rows", "mixed rows", "wrong mixed value"],
)
def test_a_process_gives_the_rows_and_the_errors_of_the_reader(schema: RowSchema, body: bytes) -> None:
    def outcome_of(read_rows: Callable[[], np.ndarray]) -> object:
        try:
            matrix = read_rows()
        except MantaError as error:
            return error.problem("/")
        return matrix.tolist(), matrix.dtype

    async def read_once() -> np.ndarray:
        readers = JsonReaders(processes=1)
        try:
            return await read(readers, body, schema)
        finally:
            await readers.close()

    expected = outcome_of(lambda: json_rows.read(body, schema=schema, max_rows=1000))

    assert outcome_of(lambda: asyncio.run(read_once())) == expected


def test_a_process_that_dies_is_replaced() -> None:
    async def scenario() -> None:
        readers = JsonReaders(processes=1)
        await read(readers)
        [process] = children()
        process.kill()
        process.wait(timeout=10)

        assert (await read(readers)).tolist() == LINES
        await readers.close()

    asyncio.run(scenario())
    assert children() == []


def test_a_body_that_takes_too_long_is_refused_and_the_next_one_is_read() -> None:
    async def scenario() -> None:
        readers = JsonReaders(processes=1)
        await read(readers)
        [process] = children()
        process.suspend()
        readers._timeout_s = 0.1

        with pytest.raises(TooLargeError, match="too much time or memory"):
            await read(readers)
        readers._timeout_s = 60
        assert (await read(readers)).tolist() == LINES
        await readers.close()

    asyncio.run(scenario())


def test_a_request_that_is_cancelled_leaves_no_process_behind() -> None:
    async def scenario() -> None:
        readers = JsonReaders(processes=1)
        await read(readers)
        [process] = children()
        process.suspend()
        task = asyncio.create_task(read(readers))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        with pytest.raises(FeaturesError):
            await read(readers, b'{"features": [[1]]}')
        await readers.close()

    asyncio.run(scenario())
    assert children() == []


def test_a_process_ends_with_the_replica_even_if_the_replica_is_killed() -> None:
    root = Path(__file__).parents[5]
    program = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert program.stdout, program.stderr
    pid = int(program.stdout)
    wait_until(lambda: not psutil.pid_exists(pid), what="the end of the process", timeout_s=20)


NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SPACES = st.sampled_from([None, 1])


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=5), SPACES)
def test_rows_by_position_equal_those_of_a_plain_reader(rows: list[tuple[float, float]], indent: int | None) -> None:
    body = json.dumps({"features": rows}, indent=indent).encode()

    matrix = json_rows.read(body, schema=SCHEMA, max_rows=9)

    assert matrix.tolist() == [[float(value) for value in row] for row in json.loads(body)["features"]]


@given(st.lists(st.tuples(TEXT, st.integers(-(2**60), 2**60), st.booleans(), NUMBERS), min_size=1, max_size=5), SPACES)
def test_rows_by_name_equal_those_of_a_plain_reader(
    rows: list[tuple[str, int, bool, float]], indent: int | None
) -> None:
    named = [dict(zip(MIXED.names, row, strict=True)) for row in rows]
    body = json.dumps({"rows": [dict(reversed(row.items())) for row in named]}, indent=indent).encode()

    matrix = json_rows.read(body, schema=MIXED, max_rows=9)

    assert matrix.tolist() == [[row[name] for name in MIXED.names] for row in json.loads(body)["rows"]]
    assert [[type(value) for value in row[:3]] for row in matrix.tolist()] == [[str, int, bool]] * len(rows)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=5))
def test_numbers_by_name_equal_those_of_a_plain_reader(rows: list[tuple[float, float]]) -> None:
    body = json.dumps({"rows": [{"b": second, "a": first} for first, second in rows]}).encode()

    assert json_rows.read(body, schema=SCHEMA, max_rows=9).tolist() == [[float(a), float(b)] for a, b in rows]

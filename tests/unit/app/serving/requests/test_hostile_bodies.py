"""Bodies that are as large and as wrong as a client can make them get a problem document, and cost no more than others.

The cost is counted, not timed: how many errors were built, and which values were decoded.
"""

import asyncio
import io
import json
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from app.errors import FeaturesError, InvalidBodyError, MantaError, TooLargeError
from app.serving.requests.limits import MAX_BODY_BYTES
from tests.support.replica_api import http_client, replica_api

NPY_TYPE = "application/x-npy"
BEGINNING = b'{"features": ['
DIGITS = b"7" * 1_000_000


def filled(beginning: bytes, part: bytes, end: bytes) -> bytes:
    """A body of the maximal size."""
    count = (MAX_BODY_BYTES - len(beginning) - len(end)) // len(part)
    return beginning + part * count + end


def npy(header: str, data: bytes = b"", *, version: int = 1) -> bytes:
    size = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + header.encode("latin-1") + data


def saved(values: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(values))
    return stream.getvalue()


LARGE = {
    "empty strings": (filled(BEGINNING + b"[", b'"",', b'""]]}'), 422),
    "strings after numbers": (filled(BEGINNING + b"[1,2,3]," * 9000 + b"[", b'"",', b'""]]}'), 422),
    "a million strings of digits": (filled(BEGINNING + b"[", b'"12",', b'"12"]]}'), 422),
    "nulls": (filled(BEGINNING + b"[", b"null,", b"null]]}"), 422),
    "booleans": (filled(BEGINNING + b"[", b"true,", b"true]]}"), 422),
    "empty objects": (filled(BEGINNING + b"[", b"{},", b"{}]]}"), 422),
    "rows that are numbers": (filled(BEGINNING, b"1,", b"1]}"), 422),
    "rows that are strings": (filled(BEGINNING, b'"a",', b'"a"]}'), 422),
    "rows that are objects": (filled(BEGINNING, b"{},", b"{}]}"), 422),
    "empty rows": (filled(BEGINNING, b"[],", b"[]]}"), 413),
    "rows of one value": (filled(BEGINNING, b"[0],", b"[0]]}"), 413),
    "valid rows beyond the limit": (filled(BEGINNING, b"[1,2,3],", b"[1,2,3]]}"), 413),
    "one wide row": (filled(BEGINNING + b"[", b"0,", b"0]]}"), 422),
    "a wide row at the end": (filled(BEGINNING + b"[1,2,3]," * 9000 + b"[", b"0,", b"0]]}"), 422),
    "nested lists": (filled(b"", b"[", b""), 422),
    "nested lists in a row": (filled(BEGINNING, b"[", b""), 422),
    "nested objects": (filled(b"", b'{"a":', b""), 422),
    "a number of a million digits": (BEGINNING + b"[1,2," + DIGITS + b"]]}", 422),
    "a fraction of a million digits": (BEGINNING + b"[1,2,0." + DIGITS + b"]]}", 200),
    "an exponent of a million digits": (BEGINNING + b"[1,2,1e" + DIGITS + b"]]}", 422),
    "a string of 8 MB": (filled(BEGINNING + b'[1,2,"', b"x", b'"]]}'), 422),
    "escapes": (filled(BEGINNING + b'[1,2,"', b"\\u0041", b'"]]}'), 422),
    "spaces": (filled(BEGINNING + b"[1,2,3]", b" ", b"]}"), 200),
    "spaces alone": (filled(b"", b" ", b""), 422),
    "zero bytes": (filled(b"", b"\0", b""), 422),
    "no UTF-8": (filled(b'{"rows":[{"', b"\xff", b'":1}]}'), 422),
    "many unknown keys": (filled(b"{", b'"key":1,', b'"key":1}'), 422),
    "one repeated key": (filled(b"{", b'"features":[[1,2,3]],', b'"features":[[1,2,3]]}'), 413),
    "many names in a row": (b'{"rows":[{' + b",".join(b'"k%d":1' % n for n in range(500_000)) + b"}]}", 422),
    "rows by name that are empty": (filled(b'{"rows":[', b"{},", b"{}]}"), 413),
    "rows by name that are numbers": (filled(b'{"rows":[', b"1,", b"1]}"), 422),
    "wrong values by name": (filled(b'{"rows":[', b'{"a":"","b":2,"c":3},', b"{}]}"), 422),
    "a late fault by name": (b'{"rows":[' + b'{"a":1,"b":2,"c":3},' * 9999 + b'{"a":1,"b":2,"c":[]}]}', 422),
    "NaN at the end": (BEGINNING + b"[1,2,3]," * 9000 + b"[1,2,NaN]]}", 422),
    "cut": (BEGINNING + b"[1,2,3]," * 9000, 422),
    "UTF-16": (('{"features": [' + "[1,2,3]," * 9000 + "[1,2,3]]}").encode("utf-16"), 422),
    "a byte order mark": (b"\xef\xbb\xbf" + BEGINNING + b"[1,2,3]," * 9000 + b"[1,2,3]]}", 422),
}
"""Bodies that are read in the process for large JSON bodies. The small ones among them are filled up with spaces."""

EMPTY_HEADER = "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3), }"
ARRAYS = {
    "a shape beyond the body": (npy(EMPTY_HEADER.replace("(1, 3)", "(9999, 3)"), b"0" * 24), 422),
    "a shape beyond the memory": (npy(EMPTY_HEADER.replace("(1, 3)", "(999999999999, 3)"), b"0" * 24), 413),
    "a shape of thousands of digits": (npy(EMPTY_HEADER.replace("1, 3", "9" * 800)), 422),
    "a hexadecimal shape": (npy(EMPTY_HEADER.replace("1, 3", "0x" + "f" * 800)), 422),
    "a negative shape": (npy(EMPTY_HEADER.replace("(1, 3)", "(-1, 3)"), b"0" * 24), 422),
    "a header larger than the body": (npy(EMPTY_HEADER, version=2)[:8] + b"\xff" * 4 + b"x" * 100, 422),
    "a header of 60 kB": (npy("(" * 60_000), 422),
    "a nested header": (npy("-" * 1000 + "1"), 422),
    "objects": (npy(EMPTY_HEADER.replace("<f8", "|O"), b"cos\nsystem\n(S'true'\ntR." + b"0" * 9), 422),
    "a pickle": (b"\x80\x04cos\nsystem\n.", 422),
    "a structure": (npy(EMPTY_HEADER.replace("'<f8'", "[('a', '<f8')]"), b"0" * 24), 422),
    "text of a gigabyte": (npy(EMPTY_HEADER.replace("<f8", "<U999999999")), 422),
    "dates": (npy(EMPTY_HEADER.replace("<f8", "<M8"), b"0" * 24), 422),
    "8 MB of NaN": (saved(np.full((9999, 3), np.nan)), 200),
    "the largest numbers": (saved(np.full((1, 3), 1.7e308)), 422),
    "by column": (saved(np.ones((9999, 3), order="F")), 200),
    "no data": (npy(EMPTY_HEADER.replace("(1, 3)", "(0, 3)")), 422),
    "nothing": (b"", 422),
}


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def api(runner: asyncio.Runner) -> Iterator[FastAPI]:
    context = replica_api()
    yield runner.run(context.__aenter__())
    runner.run(context.__aexit__(None, None, None))


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The errors of bodies that were built in this process."""
    built: list[str] = []
    original = MantaError.__init__

    def count(self: MantaError, detail: str, **parts: object) -> None:
        if isinstance(self, FeaturesError | InvalidBodyError | TooLargeError):
            built.append(detail)
        original(self, detail, **parts)  # type: ignore[arg-type] # the parts are passed on

    monkeypatch.setattr(MantaError, "__init__", count)
    return built


def post(runner: asyncio.Runner, api: FastAPI, body: bytes, content_type: str = "application/json") -> httpx.Response:
    async def send() -> httpx.Response:
        async with http_client(api) as client:
            return await client.post("/predict", content=body, headers={"content-type": content_type})

    return runner.run(send())


def check_answer(answer: httpx.Response, status: int, errors: list[str]) -> None:
    assert answer.status_code == status, answer.text[:500]
    if status == httpx.codes.OK:
        assert errors == []
        return
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["detail"]
    assert problem["allowed"]
    assert problem["next_step"]
    assert len(answer.content) < 2000
    assert len(errors) == 1


@pytest.mark.parametrize(("body", "status"), LARGE.values(), ids=LARGE)
def test_a_large_body_of_any_kind_gets_one_error(
    runner: asyncio.Runner, api: FastAPI, errors: list[str], body: bytes, status: int
) -> None:
    check_answer(post(runner, api, body), status, errors)


@pytest.mark.parametrize(("body", "status"), ARRAYS.values(), ids=ARRAYS)
def test_an_array_with_a_lying_header_gets_one_error(
    runner: asyncio.Runner, api: FastAPI, errors: list[str], body: bytes, status: int
) -> None:
    check_answer(post(runner, api, body, NPY_TYPE), status, errors)


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE)
def test_the_beginning_of_a_large_body_gets_an_answer_on_the_event_loop(
    runner: asyncio.Runner, api: FastAPI, body: tuple[bytes, int]
) -> None:
    answer = post(runner, api, body[0][:60_000])

    assert answer.status_code in {200, 413, 422}


@given(st.binary(max_size=300), st.sampled_from(["application/json", NPY_TYPE]))
def test_any_bytes_get_an_answer_of_the_api(
    runner: asyncio.Runner, api: FastAPI, body: bytes, content_type: str
) -> None:
    assert post(runner, api, body, content_type).status_code in {200, 413, 422}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc") | st.text(max_size=3), inner),
    max_leaves=12,
)


@given(st.sampled_from(["features", "rows"]), JSON_VALUES)
def test_any_json_gets_an_answer_of_the_api(runner: asyncio.Runner, api: FastAPI, key: str, value: object) -> None:
    assert post(runner, api, json.dumps({key: value}).encode()).status_code in {200, 413, 422}

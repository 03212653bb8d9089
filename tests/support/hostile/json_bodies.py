"""Hostile bodies in JSON, for a model with three numeric columns `length`, `width` and `height`."""

import gzip
import json
from typing import Final

from tests.support.hostile.body import (
    MALFORMED,
    VALID_OR_INVALID,
    Body,
    Content,
    fixed,
    repeated,
    stretched,
)

ROWS: Final = 10_000
"""Rows of the largest request that the service accepts."""
MILLION: Final = 1_000_000

CELLS: Final = {
    "empty text": '""',
    "true": "true",
    "objects": '{"a":1}',
    "empty objects": "{}",
    "empty lists": "[]",
    "numbers in quotes": '"1"',
    "text of 1 kB": json.dumps("x" * 1000),
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "whole numbers of 400 digits": "9" * 400,
    "numbers of a million digits": "7" * MILLION,
    "huge exponents": "1e999999999",
    "control characters": '"\\u0000\\ud800"',
}
"""Cells of a wrong type or value, as JSON."""

NO_ROWS: Final = {
    "numbers": "1",
    "empty text": '""',
    "null": "null",
    "true": "true",
    "objects": "{}",
    "empty lists": "[]",
    "lists of lists": "[[[1]]]",
}
"""Values that stand where a row should be, as JSON."""


def _long_rows(last_cell: str) -> Content:
    """As many rows as the service accepts, all numbers long, and one cell at the end."""

    def build(size: int) -> bytes:
        width = max(1, size // (3 * ROWS) - 6)
        row = "[" + ",".join(["0." + "3" * width] * 3) + "],"
        rows = min(ROWS - 1, max(1, (size - len(row) - 40) // len(row)))
        return ('{"features":[' + row * rows + "[0,0," + last_cell + "]]}").encode()

    return build


def _many_keys(prefix: str, value: str, suffix: str) -> Content:
    """An object with as many different keys as fit."""

    def build(size: int) -> bytes:
        count = max(1, min(MILLION, size // (len(value) + 10)))
        keys = ",".join(f'"{index:x}":{value}' for index in range(count))
        return (prefix + keys + suffix).encode()

    return build


def _encoded(content: Content, encoding: str) -> Content:
    return lambda size: content(size // 4).decode().encode(encoding)


def _bomb(size: int) -> bytes:
    """Gzip data whose content is hundreds of times as large."""
    member = gzip.compress(bytes(MILLION), compresslevel=9)
    return (member * (size // len(member) + 1))[:size]


VALID_ROWS: Final = repeated("[0,0,0]")

LARGEST: Final = Body(name="largest", content=_long_rows("0"), statuses=frozenset({200}))
"""A valid body of the maximal size."""

BODIES: Final = (
    *(Body(name=f"cells: {name}", content=repeated(f"[{cell},{cell},{cell}]")) for name, cell in CELLS.items()),
    *(
        Body(name=f"one row of cells: {name}", content=repeated(CELLS[name], before='{"features":[[', after="]]}"))
        for name in ("empty text", "objects", "NaN")
    ),
    Body(name="one row of cells: null", content=repeated("null", before='{"features":[[', after="]]}")),
    Body(name="cells: null", content=repeated("[null,null,null]"), statuses=VALID_OR_INVALID),
    *(Body(name=f"last cell: {name}", content=_long_rows(CELLS[name])) for name in ("empty text", "huge exponents")),
    *(Body(name=f"rows that are {name}", content=repeated(value)) for name, value in NO_ROWS.items()),
    *(
        Body(name=f"named rows that are {name}", content=repeated(NO_ROWS[name], before='{"rows":['))
        for name in ("numbers", "empty lists")
    ),
    Body(name="named rows without columns", content=repeated("{}", before='{"rows":['), statuses=VALID_OR_INVALID),
    Body(name="named rows with text", content=repeated('{"length":"","width":"","height":""}', before='{"rows":[')),
    Body(name="named rows with other columns", content=_many_keys('{"rows":[{', "1", "}]}")),
    Body(
        name="named rows with the same column again",
        content=repeated('"length":1', before='{"rows":[{', after="}]}"),
        statuses=VALID_OR_INVALID,  # the last value counts, and the forest takes missing columns
    ),
    Body(name="rows that are too short", content=repeated("[1,2]")),
    Body(name="rows that are too long", content=repeated("[1,2,3,4]")),
    Body(name="too many rows", content=VALID_ROWS, statuses=VALID_OR_INVALID),
    Body(name="too many columns", content=repeated("0", before='{"features":[[', after="]]}")),
    Body(name="no rows", content=stretched('{"features":[', " ", "]}")),
    Body(
        name="numbers with a million decimals",
        content=repeated("0." + "3" * MILLION, before='{"features":[[', after="]]}"),
        statuses=VALID_OR_INVALID,
    ),
    Body(name="lists in lists", content=stretched("", "[")),
    Body(name="lists in lists as rows", content=stretched('{"features":', "[")),
    Body(name="closed lists in lists", content=lambda size: b"[" * (size // 2) + b"]" * (size // 2)),
    Body(name="objects in objects", content=stretched("", '{"a":')),
    Body(name="a million keys", content=_many_keys("{", "1", "}")),
    Body(name="the same key again", content=repeated('"features":[[1]]', before="{", after="}")),
    Body(name="a key of the whole body", content=stretched('{"', "k", '":1}')),
    Body(name="escaped characters", content=stretched('{"features":"', "\\ud83d\\ude00", '"}')),
    Body(name="white space", content=stretched("", " ")),
    Body(name="text", content=stretched('"', "x", '"')),
    Body(name="a number of the whole body", content=stretched("", "9")),
    Body(name="truncated", content=lambda size: VALID_ROWS(size)[:-2]),
    Body(name="trailing data", content=lambda size: VALID_ROWS(size - 2) + b"{}"),
    Body(name="zero bytes", content=stretched("", "\0")),
    Body(name="UTF-16", content=_encoded(VALID_ROWS, "utf-16")),
    Body(name="UTF-32", content=_encoded(VALID_ROWS, "utf-32")),
    Body(name="byte order mark", content=lambda size: b"\xef\xbb\xbf" + VALID_ROWS(size - 3)),
    Body(name="no UTF-8", content=lambda size: b'{"features":"' + b"\xff\xfe" * (size // 2 - 10) + b'"}'),
    Body(name="overlong UTF-8", content=lambda size: b'{"features":"' + b"\xc0\xaf" * (size // 2 - 10) + b'"}'),
    Body(name="gzip", content=_bomb, headers=(("Content-Encoding", "gzip"),)),
    Body(
        name="content encoding of an unknown name",
        content=VALID_ROWS,
        headers=(("Content-Encoding", "x" * 2000),),
        statuses=VALID_OR_INVALID,
    ),
    Body(name="CSV", content=stretched("length,width,height\n", "1,2,3\n"), content_type="text/csv"),
    Body(name="no content type", content=VALID_ROWS, content_type=None),
    Body(name="content type of 4 kB", content=VALID_ROWS, content_type="application/" + "j" * 4000),
    Body(name="form", content=stretched("features=", "1&features="), content_type="application/x-www-form-urlencoded"),
    Body(name="chunked", content=repeated("[[],1,1]"), is_chunked=True),
    Body(
        name="twice as large as the limit",
        content=lambda size: VALID_ROWS(size) + b" " * size,
        statuses=VALID_OR_INVALID,
    ),
    *(
        Body(name=name, content=_many_keys("{", "1", "}"), path=path, statuses=frozenset({401, 413}))
        for name, path in (("load without a token", "/model/load"), ("webhook without a signature", "/model/webhook"))
    ),
    Body(name="unknown path", content=VALID_ROWS, path="/nowhere", statuses=frozenset({404, 413})),
)
"""All kinds of JSON bodies, and of bodies that claim to be JSON or another text."""

_ROW: Final = b'{"features":[[1,2,3]]}'
_CHUNKED: Final = (("Transfer-Encoding", "chunked"),)

MALFORMED_MESSAGES: Final = tuple(
    Body(name=name, content=fixed(content), headers=headers, statuses=MALFORMED)
    for name, headers, content in (
        ("Content-Length of a negative number", (("Content-Length", "-1"),), _ROW),
        ("Content-Length of 400 digits", (("Content-Length", "9" * 400),), _ROW),
        ("Content-Length of 9 GB", (("Content-Length", str(9 * 1024**3)),), _ROW),
        ("Content-Length of text", (("Content-Length", "many"),), _ROW),
        ("Content-Length twice", (("Content-Length", "22"), ("Content-Length", "5")), _ROW),
        ("Content-Length shorter than the body", (("Content-Length", "5"),), _ROW),
        ("Content-Length of 0", (("Content-Length", "0"),), _ROW),
        ("Transfer-Encoding of an unknown name", (("Transfer-Encoding", "zip"),), _ROW),
        ("Transfer-Encoding beside Content-Length", (*_CHUNKED, ("Content-Length", "22")), _ROW),
        ("chunk size of text", _CHUNKED, b"many\r\n" + _ROW),
        ("chunk size of 400 digits", _CHUNKED, b"f" * 400 + b"\r\n" + _ROW),
        ("chunks of one byte", _CHUNKED, b"1\r\n[\r\n" * (MILLION // 2) + b"0\r\n\r\n"),
        ("trailers without an end", _CHUNKED, b"1\r\n[\r\n0\r\n" + b"X: y\r\n" * MILLION),
        ("header of 100 kB", (("X-Long", "x" * 100_000), ("Content-Length", "22")), _ROW),
        ("10,000 headers", tuple((f"X-{index}", "x") for index in range(10_000)), _ROW),
    )
)
"""Messages whose headers contradict each other or the body. Their headers replace the true length of the body."""

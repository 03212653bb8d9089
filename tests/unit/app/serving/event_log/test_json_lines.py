"""The log as JSON lines."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.serving.event_log import events, json_lines
from app.serving.event_log.json_lines import MAX_LINE_BYTES, MAX_TEXT


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """A logger whose handlers are gone after the test."""
    logger = logging.getLogger("test.json_lines")
    logger.setLevel(logging.INFO)
    yield logger
    logger.handlers.clear()


def write(
    log: logging.Logger,
    file: Path,
    *,
    event: dict[str, object] | None = None,
    error: Exception | None = None,
    request_id: str = "",
) -> dict[str, object]:
    """Log one record, and read its line."""
    listener = json_lines.install(log, file, replica="r0", request_id=lambda: request_id)
    assert listener is not None
    log.info("version %s\nserves", "3", extra=event, exc_info=error)
    listener.stop()
    for handler in listener.handlers:
        handler.close()
    [line] = file.read_text().splitlines()
    read: dict[str, object] = json.loads(line)
    return read


def test_a_record_is_one_line_with_the_fields_of_its_event(log: logging.Logger, tmp_path: Path) -> None:
    event = events.VERSION_SERVES(model="m", version="3", previous=None, role="champion")

    line = write(log, tmp_path / "log", event=event)

    assert str(line.pop("time")).endswith("+00:00")
    assert line == {
        "level": "INFO",
        "replica": "r0",
        "message": "version 3\nserves",
        "event": "version_serves",
        "model": "m",
        "version": "3",
        "previous": None,
        "role": "champion",
    }


def test_a_record_without_an_event_has_no_member_event(log: logging.Logger, tmp_path: Path) -> None:
    assert write(log, tmp_path / "log").keys() == {"time", "level", "replica", "message"}


def test_a_record_of_a_request_has_its_id(log: logging.Logger, tmp_path: Path) -> None:
    assert write(log, tmp_path / "log", request_id="q1")["request_id"] == "q1"


def test_a_traceback_stands_in_the_line(log: logging.Logger, tmp_path: Path) -> None:
    line = write(log, tmp_path / "log", error=ValueError("broken"))

    assert str(line["exception"]).endswith("ValueError: broken")


def test_a_long_text_is_shortened_so_that_the_line_stays_whole_in_a_pipe(log: logging.Logger, tmp_path: Path) -> None:
    line = write(log, tmp_path / "log", event=events.ROLLOUT_STUCK(model="m", reason="x" * 10_000 + "end"))

    assert str(line["reason"]).endswith("xend")
    assert len(str(line["reason"])) == MAX_TEXT + len("...")


@pytest.mark.parametrize("character", ["é", "🌲", "\0"])
def test_a_line_with_long_texts_of_any_characters_fits_one_write_to_a_pipe(
    log: logging.Logger, tmp_path: Path, character: str
) -> None:
    reason = character * 10_000 + "end"
    write(log, tmp_path / "log", event=events.ROLLOUT_STUCK(model="m", reason=reason), error=ValueError(reason))

    line = (tmp_path / "log").read_bytes()

    assert len(line) <= MAX_LINE_BYTES
    assert json.loads(line)["reason"].endswith(f"{character}end")


def test_a_file_that_cannot_be_opened_is_a_warning_and_no_failure(
    log: logging.Logger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listener = json_lines.install(log, tmp_path / "missing" / "log", replica="r0", request_id=lambda: "")

    assert listener is None
    assert "missing/log cannot be opened: No such file or directory" in caplog.text


def test_without_a_file_nothing_is_written(log: logging.Logger) -> None:
    assert json_lines.install(log, None, replica="r0", request_id=lambda: "") is None
    assert log.handlers == []

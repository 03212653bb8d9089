"""`manta local --drift-every`."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from app.cli.local import drift_schedule
from app.cli.local.drift_schedule import judge_forever, parse_interval
from app.cli.local.processes import Processes
from app.errors import ParameterError


class Judgement:
    """A process that ends after some polls.

    Args:
        polls: Number of polls; None for a process that ends by a signal only.
        ends_by: Signals that end it.
    """

    def __init__(self, polls: int | None, ends_by: tuple[str, ...] = ("SIGTERM", "SIGKILL")) -> None:
        self.polls = polls
        self.ends_by = ends_by
        self.signals: list[str] = []
        self.polled = asyncio.Event()

    def poll(self) -> int | None:
        self.polled.set()
        if self.polls is None:
            return -15 if set(self.signals).intersection(self.ends_by) else None
        self.polls -= 1
        return 0 if self.polls < 0 else None

    def terminate(self) -> None:
        self.signals.append("SIGTERM")

    def kill(self) -> None:
        self.signals.append("SIGKILL")

    def wait(self) -> int:
        return -9


class Starter:
    """Starts the judgements of a test, and cancels the schedule when none is left."""

    def __init__(self, folder: Path, *judgements: Judgement) -> None:
        self.folder = folder
        self.judgements = list(judgements)
        self.commands: list[Sequence[str]] = []

    def start(self, name: str, command: Sequence[str], *, environment: Mapping[str, str]) -> Judgement:
        assert environment == {"MANTA_USER": "drift-schedule"}
        if not self.judgements:
            raise asyncio.CancelledError
        self.commands.append(command)
        self.log_file(name).write_text("".join(f"[line] {number}\n" for number in range(40)))
        return self.judgements.pop(0)

    def log_file(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def judge(folder: Path, *judgements: Judgement) -> list[Sequence[str]]:
    starter = Starter(folder, *judgements)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(judge_forever(cast("Processes", starter), timedelta(seconds=0.001), ray_url="http://ray"))
    return starter.commands


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_schedule, "POLL_S", 0.001)


def test_each_judgement_is_a_process_whose_whole_output_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = judge(tmp_path, Judgement(2), Judgement(0))

    assert [command[1:] for command in commands] == [["-m", "app.cli.jobs.drift", "--address", "http://ray"]] * 2
    shown = capsys.readouterr().out.splitlines()
    assert shown == [f"[line] {number}" for number in range(40)] * 2


def test_a_judgement_that_does_not_end_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drift_schedule, "TIMEOUT_S", 0.05)
    hanging, next_one = Judgement(None), Judgement(0)

    assert len(judge(tmp_path, hanging, next_one)) == 2

    assert (hanging.signals, next_one.signals) == (["SIGTERM"], [])
    assert "The judgement of drift, or its training, was stopped" in capsys.readouterr().out


def test_a_judgement_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_schedule, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(drift_schedule, "STOP_S", 0.05)
    hanging = Judgement(None, ends_by=("SIGKILL",))

    judge(tmp_path, hanging)

    assert hanging.signals == ["SIGTERM", "SIGKILL"]


def test_ctrl_c_lets_the_process_stop_its_job(tmp_path: Path) -> None:
    hanging = Judgement(None)
    starter = Starter(tmp_path, hanging)

    async def interrupt() -> None:
        schedule = asyncio.create_task(
            judge_forever(cast("Processes", starter), timedelta(seconds=0.001), ray_url="http://ray")
        )
        await hanging.polled.wait()
        schedule.cancel()
        await schedule

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupt())

    assert hanging.signals == ["SIGTERM"]


def test_without_an_interval_nothing_is_judged(tmp_path: Path) -> None:
    starter = Starter(tmp_path)

    asyncio.run(judge_forever(cast("Processes", starter), None, ray_url="http://ray"))

    assert starter.commands == []


def test_an_interval_is_a_period_of_five_minutes_or_more() -> None:
    assert parse_interval("") is None
    assert parse_interval("5m") == timedelta(minutes=5)
    assert parse_interval("1d") == timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [("hourly", "--drift-every 1h"), ("1m", "--drift-every 1m is too short. Allowed: 5m or more")],
)
def test_an_interval_that_cannot_be_used_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parse_interval(text)


def test_a_schedule_needs_a_prediction_log() -> None:
    drift_schedule.check(None, "off")
    drift_schedule.check(timedelta(hours=1), "mlflow")

    with pytest.raises(ParameterError, match="--drift-every cannot be used with --prediction-log off"):
        drift_schedule.check(timedelta(hours=1), "off")

"""The last hour of a replica, and of the fleet."""

from dataclasses import replace

import numpy as np

from app.serving.measures import fleet_history, history
from app.serving.measures.history import MAX_TRACKS, SLOT_S, SLOTS, History
from app.serving.measures.tally import Answered, Role, Tally


class Recorder:
    """A history of a few tallies, at a time that the test decides."""

    def __init__(self) -> None:
        self.now_s = 1_000_000_000.0
        self.tallies: list[Tally] = []
        self.history = History(lambda: self.tallies, lambda: self.now_s)

    def tally(self, model: str = "m", version: str = "1") -> Tally:
        tally = Tally(Role(model, version, "champion"), None)
        self.tallies.append(tally)
        return tally

    def requests(self) -> list[int]:
        """Requests of the only version, by slot."""
        [track] = self.history.read("m")
        return fleet_history.describe(track).requests


def test_requests_stand_in_the_slot_of_their_time() -> None:
    recorder = Recorder()
    tally = recorder.tally()
    for requests in (3, 0, 2):
        for _ in range(requests):
            tally.add(Answered(1, 0.001, None))
        recorder.history.record()
        recorder.now_s += SLOT_S

    assert recorder.requests()[-4:] == [3, 0, 2, 0]
    assert sum(recorder.requests()) == 5


def test_what_is_older_than_an_hour_is_forgotten() -> None:
    recorder = Recorder()
    tally = recorder.tally()
    tally.add(Answered(1, 0.001, None))
    recorder.history.record()
    recorder.now_s += (SLOTS - 1) * SLOT_S
    assert recorder.requests() == [1] + [0] * (SLOTS - 1)

    recorder.now_s += SLOT_S

    assert recorder.history.read("m") == []


def test_a_clock_that_goes_back_loses_no_request() -> None:
    recorder = Recorder()
    tally = recorder.tally()
    tally.add(Answered(1, 0.001, None))
    recorder.history.record()
    recorder.now_s -= 10 * SLOT_S
    tally.add(Answered(1, 0.001, None))

    assert sum(recorder.requests()) == 2


def test_errors_and_latencies_are_those_of_their_slot() -> None:
    recorder = Recorder()
    tally = recorder.tally()
    for seconds in (0.001, 0.001, 0.5):
        tally.add(Answered(1, seconds, None))
    tally.add_error(is_of_client=True)
    recorder.history.record()
    recorder.now_s += SLOT_S
    tally.add_error(is_of_client=False)

    [track] = recorder.history.read("m")
    described = fleet_history.describe(track)

    assert described.client_errors[-2:] == [1, 0]
    assert described.errors[-2:] == [0, 1]
    assert described.p50_ms[-1] is None
    assert 1.0 <= (described.p50_ms[-2] or 0) < 1.2
    assert 500 <= (described.p99_ms[-2] or 0) < 600


def test_joined_slots_have_the_quantiles_of_all_their_requests() -> None:
    recorder = Recorder()
    tally = recorder.tally()
    recorder.now_s = (recorder.now_s // (SLOT_S * SLOTS) + 1) * SLOT_S * SLOTS - 1  # in the last slot of an hour
    for seconds in (0.001, 0.5):
        tally.add(Answered(1, seconds, None))
        recorder.history.record()
        recorder.now_s -= SLOT_S

    [track] = recorder.history.read("m")
    described = fleet_history.describe(track, joined=20)

    assert described.requests == [0, 0, 0, 0, 0, 2]
    assert 500 <= (described.p95_ms[-1] or 0) < 600


def test_the_memory_is_bounded() -> None:
    recorder = Recorder()
    for number in range(MAX_TRACKS + 5):
        recorder.tally(model=f"m{number}").add(Answered(1, 0.001, None))
    recorder.history.record()

    assert recorder.history.read("m4") == []
    assert len(recorder.history.read("m5")) == 1


def test_the_fleet_adds_the_slots_of_the_same_time() -> None:
    recorder = Recorder()
    recorder.tally().add(Answered(1, 0.001, None))
    [track] = recorder.history.read("m")
    behind = replace(track, last_slot=track.last_slot - 2)

    [total] = fleet_history.add([track, behind])

    assert total.last_slot == track.last_slot
    assert fleet_history.describe(total).requests[-3:] == [1, 0, 1]
    assert np.array_equal(total.latencies.sum(axis=1)[-3:], [1, 0, 1])


def test_a_replica_whose_clock_is_hours_behind_adds_nothing() -> None:
    recorder = Recorder()
    recorder.tally().add(Answered(1, 0.001, None))
    [track] = recorder.history.read("m")

    [total] = fleet_history.add([track, replace(track, last_slot=track.last_slot - 10 * SLOTS)])

    assert total.counts.sum() == 1


def test_the_slots_make_an_hour() -> None:
    assert history.SLOTS * history.SLOT_S == 3600

"""What a hostile case does to the service: the answers, the replicas' memory and the honest client."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import psutil

from tests.support.hostile.exchange import Answer
from tests.support.hostile.honest_client import HonestClient, Traffic

SAMPLE_INTERVAL_S: Final = 0.2
SHORTEST_S: Final = 0.5
"""Shortest case, so that honest requests are sent meanwhile."""
SETTLE_TIMEOUT_S: Final = 20
"""How long the memory of a replica may take to come back."""
MEMORY_SHARE: Final = 1.1
"""Largest memory of a replica after a case, as a share of what it keeps after valid bodies."""
MEMORY_SLACK_MB: Final = 64
"""Additional allowed memory: what the allocators of a replica's processes keep of several bodies of 8 MB."""
MEGABYTE: Final = 1024**2

Pids = dict[str, int]
"""Process id of each replica, by replica id."""


@dataclass(kw_only=True)
class Case:
    """One hostile case and its effect."""

    name: str
    start_s: float
    """Start on the monotonic clock."""
    answers: list[Answer] = field(default_factory=list)
    pids_before: Pids
    pids_after: Pids = field(default_factory=dict)
    baseline_mb: list[int]
    """Most memory that each replica and its children kept after valid bodies of the same size, in MB, in the order of
    `pids_before`. For a replica that started later, its memory when it was first observed."""
    memory_before_mb: list[int]
    """Resident memory of each replica and its children before the case, in MB."""
    memory_peak_mb: list[int] = field(default_factory=list)
    memory_after_mb: list[int] = field(default_factory=list)
    honest: Traffic = field(default_factory=lambda: Traffic(sent=0, failures=Counter(), durations_s=[]))

    @property
    def slowest_s(self) -> float:
        """Duration of the slowest answer."""
        return max((answer.duration_s for answer in self.answers), default=0.0)

    @property
    def has_memory_back(self) -> bool:
        """Whether every replica needs no more memory than after valid bodies."""
        pairs = zip(self.baseline_mb, self.memory_after_mb, strict=True)
        return all(after <= MEMORY_SHARE * before + MEMORY_SLACK_MB for before, after in pairs)

    def row(self) -> tuple[str, ...]:
        """The case as a row of the table `HEADINGS`."""
        counted = Counter(f"{answer.status} {answer.title}" for answer in self.answers)
        return (
            self.name,
            ", ".join(f"{count} x {kind}" for kind, count in counted.items()) or "-",
            f"{self.slowest_s:.2f}",
            " / ".join(
                f"{before}-{peak}-{after}"
                for before, peak, after in zip(
                    self.memory_before_mb, self.memory_peak_mb, self.memory_after_mb, strict=False
                )
            ),
            "yes" if self.pids_after == self.pids_before else "NO",
            f"{self.honest.failed} of {self.honest.sent}",
            f"{1000 * self.honest.p99_s:.0f}",
        )


HEADINGS: Final = (
    "case",
    "answers",
    "slowest s",
    "memory MB: before-peak-after",
    "same replicas",
    "honest failures",
    "honest p99 ms",
)


class Observer:
    """Observes the replicas and the honest client during each case.

    Args:
        find_replicas: Returns the process ids of the running replicas.
        honest_client: The client whose requests are counted.
        cases: List that gets every case, also one that fails.
    """

    def __init__(self, find_replicas: Callable[[], Pids], honest_client: HonestClient, cases: list[Case]) -> None:
        self._find_replicas = find_replicas
        self._honest_client = honest_client
        self._cases = cases
        self._baseline_mb: dict[str, int] = {}

    def record_baseline(self) -> None:
        """Record what the replicas keep now, unless they kept more at an earlier call.

        Their allocators keep freed memory and give it back from time to time.
        """
        pids = self._find_replicas()
        for replica, memory_mb in zip(pids, _memory_mb(pids), strict=True):
            self._baseline_mb[replica] = max(memory_mb, self._baseline_mb.get(replica, 0))

    @contextmanager
    def case(self, name: str) -> Iterator[Case]:
        """Observe a case while the block is executed, and until the memory of the replicas has come back."""
        pids = self._find_replicas()
        before_mb = _memory_mb(pids)
        for replica, memory_mb in zip(pids, before_mb, strict=True):
            self._baseline_mb.setdefault(replica, memory_mb)
        case = Case(
            name=name,
            start_s=time.monotonic(),
            pids_before=pids,
            baseline_mb=[self._baseline_mb[replica] for replica in pids],
            memory_before_mb=before_mb,
        )
        self._cases.append(case)
        case.memory_peak_mb = list(case.memory_before_mb)
        stop = threading.Event()
        sampler = threading.Thread(target=_sample, args=(pids, case.memory_peak_mb, stop))
        sampler.start()
        try:
            yield case
        finally:
            stop.set()
            sampler.join()
            self._settle(case)
            case.honest = self._honest_client.traffic(case.start_s, time.monotonic())
            case.pids_after = self._find_replicas()

    def _settle(self, case: Case) -> None:
        deadline_s = time.monotonic() + SETTLE_TIMEOUT_S
        time.sleep(max(0.0, case.start_s + SHORTEST_S - time.monotonic()))
        case.memory_after_mb = _memory_mb(case.pids_before)
        while not case.has_memory_back and time.monotonic() < deadline_s:
            time.sleep(SAMPLE_INTERVAL_S)
            case.memory_after_mb = _memory_mb(case.pids_before)


def _sample(pids: Pids, peak_mb: list[int], stop: threading.Event) -> None:
    while not stop.wait(SAMPLE_INTERVAL_S):
        peak_mb[:] = map(max, peak_mb, _memory_mb(pids))


def _memory_mb(pids: Pids) -> list[int]:
    return [_family_memory_mb(pid) for pid in pids.values()]


def _family_memory_mb(pid: int) -> int:
    """Resident memory of a process and its children, in MB; 0 if the process has ended."""
    try:
        replica = psutil.Process(pid)
        family = [replica, *replica.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in family:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:  # a child that has just ended
            continue
    return total // MEGABYTE

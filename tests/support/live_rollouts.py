"""Rollouts on a running platform under traffic, and how they have to end."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import httpx
from mlflow import MlflowClient

from app import names
from tests.support.json_object import JsonObject
from tests.support.rollout_models import UNKNOWN, Challengers
from tests.support.traffic import PredictionTraffic
from tests.support.waiting import wait_until

RATE: Final = 20.0
"""Requests per second."""

LABELLED: Final = 10
"""Requests that are labelled at once."""

END_TIMEOUT_S: Final = 600.0
"""Longest time until a rollout ends."""

ROLLED_BACK: Final = "rolled back"
PROMOTED: Final = "promoted"


@dataclass(frozen=True, kw_only=True)
class Course:
    """The options of a rollout, and how it has to end."""

    steps: str
    min_rows: int
    min_seconds: int = 1
    verdict: str = ROLLED_BACK

    @property
    def options(self) -> list[str]:
        """The options of `manta rollout start`."""
        return [
            *("--steps", self.steps),
            *("--min-rows", str(self.min_rows)),
            *("--min-seconds", str(self.min_seconds)),
        ]


COURSES: Final = {
    "wrong": Course(steps="50", min_rows=1000, min_seconds=60),
    "raising": Course(steps="20,50", min_rows=200),
    "slow": Course(steps="50", min_rows=1000),
    "good": Course(steps="20,50", min_rows=20, verdict=PROMOTED),
}
"""How the rollout of each kind of version goes. The good version comes last, because it becomes the champion."""


@dataclass(frozen=True)
class RolloutPlatform:
    """A running platform."""

    api: httpx.Client
    """Client of the service."""
    registry: MlflowClient
    manta: Callable[..., "subprocess.CompletedProcess[str]"]
    """Runs a `manta` command on the platform."""

    def aliases(self, model: str = names.MODEL_NAME) -> dict[str, str]:
        """Return the version of each alias of a model."""
        found = self.registry.get_registered_model(model).aliases
        return {alias: str(version) for alias, version in found.items()}

    def traffic(self, path: str = "predict") -> PredictionTraffic:
        """Return a context manager that sends predictions at `RATE`."""
        token = self.api.headers.get("Authorization", "").removeprefix("Bearer ")
        url = f"{self.api.base_url}{path}"
        return PredictionTraffic(url, {"features": [UNKNOWN]}, rate=RATE, timeout_s=30, token=token)

    def start(self, version: str, *options: str) -> None:
        """Begin a rollout with `manta rollout start`."""
        self.run("rollout", "start", version, *options)

    def run(self, *argv: str) -> str:
        """Run a `manta` command, and return its output."""
        process = self.manta(*argv)
        assert process.returncode == 0, process.stdout + process.stderr
        return str(process.stdout)

    def rollout(self, path: str = "model") -> JsonObject:
        """Return the state of the running or the last rollout of a model."""
        state: JsonObject = self.api.get(f"{path}/rollout").raise_for_status().json()["rollout"]
        return state

    def answering_versions(self, requests: int) -> set[str]:
        """Return the versions that answer some requests."""
        answers = (self.api.post("predict", json={"features": [UNKNOWN]}) for _ in range(requests))
        return {answer.raise_for_status().json()["model_version"] for answer in answers}

    def roll_out(self, kind: str, challengers: Challengers) -> str:
        """Roll out a version under traffic, check how the rollout ends, and return the figures.

        Args:
            kind: A name in `COURSES`.
            challengers: The versions. The version that answers wrongly is the good one, whose answers get other labels.
        """
        course, champion = COURSES[kind], self.aliases()[names.CHAMPION]
        version = challengers.good if kind == "wrong" else getattr(challengers, kind)

        def is_closed() -> bool:
            if kind == "wrong":
                self.label_requests(right_version=champion)
            return bool(self.rollout()["is_closed"])

        with self.traffic() as traffic:
            self.start(version, *course.options)
            start_s = time.monotonic()
            wait_until(is_closed, what="the end", timeout_s=END_TIMEOUT_S)
            duration_s = time.monotonic() - start_s

        status = self.run("rollout", "status").replace("\n", " ")
        assert f"version {version} against champion {champion}: {course.verdict}" in status
        assert traffic.failures == {}
        assert self.rollout()["reason"].startswith("wrong answers") == (kind == "wrong")
        is_promoted = course.verdict == PROMOTED
        moved = {names.CHAMPION: version, names.PREVIOUS: champion} if is_promoted else {names.CHAMPION: champion}
        assert self.aliases() == moved
        assert self.registry.get_model_version(names.MODEL_NAME, version).tags["rollout.verdict"] == course.verdict
        return f"{course.verdict} after {duration_s:.0f} s, {traffic.failed} of {traffic.sent} failed"

    def label_requests(self, *, right_version: str) -> None:
        """Send requests, and label the answers of one version as right and those of all others as wrong."""
        labels = []
        for _ in range(LABELLED):
            answer = self.api.post("predict", json={"features": [UNKNOWN]})
            assert answer.is_success, answer.text
            is_right = answer.json()["model_version"] == right_version
            label = answer.json()["predictions"][0] if is_right else "another class"
            labels.append({"request_id": answer.headers["x-request-id"], "label": label})
        stored = self.api.post("feedback", json={"labels": labels})
        assert stored.json() == {"stored": LABELLED}, stored.text

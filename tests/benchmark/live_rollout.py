"""Throughput and latency with no rollout, with one at 50 %, and with a shadow of all requests.

Run it with `python -m tests.benchmark.live_rollout`; `--quick` sends few requests and writes no page.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from app.cli.endpoints import Endpoints
from tests.benchmark import forest, report, turns
from tests.benchmark.servers import Server, manta
from tests.support import fleet_models
from tests.support.json_object import JsonObject

REPLICA_COUNT: Final = 2

PLAIN: Final = "no rollout"

DAY_S: Final = 86_400.0


def main() -> None:
    """Measure, print the page, and write `docs/benchmarks/live_rollout.*`."""
    quick = turns.is_quick(__doc__)
    machine = report.read_machine("ray", "mlflow", "fastapi", "scikit-learn", "numba")
    model = forest.fit_forest()
    with (
        tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True) as folder,
        manta(Path(folder), model) as (server, _, scale, endpoints),
    ):
        version = fleet_models.register(endpoints.mlflow_url, model, *forest.make_rows())
        scale(REPLICA_COUNT)
        cases: dict[str, turns.Case] = {
            PLAIN: partial(turns.running, server),
            "a rollout at 50 %": partial(_running, server, endpoints, "rollout", _rollout(version)),
            "a shadow of all requests": partial(_running, server, endpoints, "shadow", {"version": version}),
        }
        figures = {"machine": machine, **turns.measure(cases, quick=quick)}
    nodes = sum(tree.tree_.node_count for tree in model.estimators_)
    page = "\n".join(
        [
            "# What a rollout and a shadow cost",
            "",
            f"`python -m tests.benchmark.live_rollout`: {REPLICA_COUNT} replicas, a forest of {nodes:,} nodes in both",
            "versions.",
            *turns.describe(figures, PLAIN),
        ]
    )
    print(page)  # noqa: T201 - the result
    if not quick:
        report.write_report("live_rollout", figures, page, {})


def _rollout(version: str) -> JsonObject:
    return {"version": version, "steps": [50], "hold": True, "min_seconds": DAY_S}


@contextmanager
def _running(server: Server, endpoints: Endpoints, kind: str, message: JsonObject) -> Iterator[Server]:
    """Begin a rollout or a shadow, and end it afterwards. It must not have ended by itself."""
    with httpx.Client(base_url=endpoints.api_url, headers=endpoints.serve_headers, timeout=150) as client:
        client.post(f"/model/{kind}", json=message).raise_for_status()
        yield server
        status = client.get(f"/model/{kind}").raise_for_status().json()
        assert status["replicas_ready"] == REPLICA_COUNT, status
        client.delete(f"/model/{kind}").raise_for_status()


if __name__ == "__main__":
    main()

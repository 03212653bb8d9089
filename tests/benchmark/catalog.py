"""Many registered forests behind one replica that has room for few: `python -m tests.benchmark.catalog`.

One model is asked at a constant rate, alone and while clients ask for the other models in random order. A request that
gets 503 with `Retry-After` is repeated, as a client does; every other failure counts as lost. Afterwards the same rows
are sent in each protocol, and to MLServer, whose answers must be the same to the last bit.
"""

import argparse
import json
import random
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import psutil

from app import names
from app.models import served_models
from app.serving.loading.limits import MIB
from tests.benchmark import load, registered_forests, report
from tests.benchmark.servers import mlserver
from tests.support import fleet_models
from tests.support.fleet_models import REQUEST_ROWS, fitted_forest
from tests.support.json_object import JsonObject
from tests.support.ray_cluster import Cluster, create_cluster
from tests.support.waiting import wait_until

RATE: Final = 50.0
"""Requests per second for the model that is always loaded."""
CLIENTS: Final = 2
"""Clients that ask for the other models."""
WATCH_INTERVAL_S: Final = 1.0
"""Pause between two looks at the memory."""
ROUNDS: Final = 5
PROTOCOL_REQUESTS: Final = 400
"""Requests of each protocol in a round."""


@dataclass
class Visits:
    """What the clients saw that asked for models in random order."""

    answers: int = 0
    repeated: int = 0
    """Requests that got 503 with `Retry-After`."""
    lost: list[str] = field(default_factory=list)
    most_bytes: int = 0
    """Most bytes of all models together, of all looks."""
    most_models: int = 0
    """Most models in memory."""
    most_growth_bytes: int = 0
    """Largest growth of the resident memory of the replica, with the arrays that it maps from files."""


def main() -> None:
    """Measure, print the page, and write `docs/benchmarks/catalog.*`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--room", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--quick", action="store_true", help="print the figures and do not write them")
    options = parser.parse_args()
    machine = report.read_machine("ray", "mlflow", "fastapi", "scikit-learn", "numba")
    size = _model_bytes()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cat", dir="/tmp", ignore_cleanup_errors=True))
        cluster = create_cluster(Path(folder), models_memory=int(options.room * size))
        stack.callback(cluster.mlflow.stop)
        stack.callback(cluster.ray.stop)
        cluster.start_ray()
        cluster.start_mlflow()
        models = registered_forests.register(cluster, Path(folder) / "mlflow.db", options.models)
        start_s = time.perf_counter()
        assert len(served_models.read_tagged(cluster.mlflow_url).champions) == options.models + 1
        poll_s = time.perf_counter() - start_s
        cluster.scale(1, settings={"import_path": names.IMPORT_PATH})
        cluster.wait_for_replicas(1)
        wait_until(lambda: len(_models(cluster)["models"]) == options.models + 1, what="the models", timeout_s=120)
        figures: JsonObject = {
            "machine": machine,
            "models": options.models,
            "room": options.room,
            "model_bytes": size,
            "limit_bytes": _models(cluster)["memory_limit_bytes"],
            "poll_s": round(poll_s, 3),
            **_measure(cluster, Path(folder), models, options.room, options.seconds),
            "protocols": _measure_protocols(cluster),
        }
        _compare_with_mlserver(cluster, Path(folder))
    page = _page(figures)
    print(page)  # noqa: T201 - the result
    if not options.quick:
        report.write_report("catalog", figures, page, {})


def _model_bytes() -> int:
    """Bytes of the arrays of one forest, with a margin for its description."""
    nodes = sum(tree.tree_.node_count for tree in fitted_forest(1, trees=registered_forests.TREES).estimators_)
    return int(nodes) * 29 + 8192


def _models(cluster: Cluster) -> JsonObject:
    content: JsonObject = httpx.get(f"{cluster.api_url}/models", timeout=60).raise_for_status().json()
    return content


def _measure(cluster: Cluster, folder: Path, models: list[str], room: int, seconds: float) -> JsonObject:
    body = json.dumps({"features": REQUEST_ROWS[:1]}).encode()
    url = f"{cluster.api_url}/models/{models[0]}/predict"
    wait_until(lambda: _is_answering(cluster, models[0]), what="the first model")
    [replica] = cluster.replicas()
    process = psutil.Process(replica["pid"])
    load.run_at_rate(url, body, rate=RATE, seconds=5)
    quiet = load.run_at_rate(url, body, rate=RATE, seconds=seconds)
    with ThreadPoolExecutor(CLIENTS) as fillers:
        list(fillers.map(lambda name: wait_until(partial(_is_answering, cluster, name), what=name), models[1:room]))
    visits, end, loads_before = Visits(), threading.Event(), _count_loads(folder)
    clients = [
        threading.Thread(target=_visit, args=(cluster, models[1:], visits, end, seed)) for seed in range(CLIENTS)
    ]
    clients.append(threading.Thread(target=_watch, args=(cluster, process, visits, end)))
    for client in clients:
        client.start()
    busy = load.run_at_rate(url, body, rate=RATE, seconds=seconds)
    end.set()
    for client in clients:
        client.join()
    return {
        "quiet": quiet.rounded(),
        "busy": busy.rounded(),
        "visits": {
            "answers": visits.answers,
            "loads_per_second": round((_count_loads(folder) - loads_before) / seconds, 2),
            "repeated": visits.repeated,
            "lost": len(visits.lost),
            "most_bytes": visits.most_bytes,
            "most_models": visits.most_models,
            "most_growth_bytes": visits.most_growth_bytes,
            "reasons": visits.lost[:3],
        },
    }


def _visit(cluster: Cluster, models: list[str], visits: Visits, end: threading.Event, seed: int) -> None:
    """Ask for models in random order until the end."""
    choice = random.Random(seed)  # noqa: S311 - not used for security
    message = {"features": REQUEST_ROWS[:1]}
    with httpx.Client(base_url=cluster.api_url, timeout=60) as client:
        while not end.is_set():
            path = f"/models/{choice.choice(models)}/predict"
            while (response := client.post(path, json=message)).status_code == httpx.codes.SERVICE_UNAVAILABLE:
                visits.repeated += 1
                if end.wait(0.5):
                    return
            visits.answers += 1
            if not response.is_success:
                visits.lost.append(response.text)


def _is_answering(cluster: Cluster, name: str) -> bool:
    message = {"features": REQUEST_ROWS[:1]}
    return httpx.post(f"{cluster.api_url}/models/{name}/predict", json=message, timeout=60).is_success


def _watch(cluster: Cluster, process: psutil.Process, visits: Visits, end: threading.Event) -> None:
    """Look at the memory again and again. The list of all models is a request like others."""
    before_bytes = process.memory_info().rss
    while not end.wait(WATCH_INTERVAL_S):
        held = [model["size_bytes"] for model in _models(cluster)["models"] if not model["is_default"]]
        visits.most_bytes = max(visits.most_bytes, sum(held))
        visits.most_models = max(visits.most_models, sum(size > 0 for size in held))
        visits.most_growth_bytes = max(visits.most_growth_bytes, process.memory_info().rss - before_bytes)


def _count_loads(folder: Path) -> int:
    """Count the loads in the logs of the replica."""
    logs = (folder / "r" / "session_latest" / "logs" / "serve").glob("replica_*.log")
    return sum(log.read_text(errors="replace").count(" version 1 serves") for log in logs)


def _measure_protocols(cluster: Cluster) -> dict[str, list[float]]:
    """Median time of one request for the default model in each round, in microseconds, by protocol."""
    row = REQUEST_ROWS[:1]
    requests = {
        "/predict": ("/predict", {"features": row}),
        "Open Inference Protocol": (INFER, _inference(row)),
        "MLflow": ("/invocations", {"inputs": row}),
    }
    medians_us: dict[str, list[float]] = {name: [] for name in requests}
    with httpx.Client(base_url=cluster.api_url, timeout=60) as client:
        for number in range(ROUNDS + 1):
            for name, (path, message) in requests.items():
                times_us = []
                for _ in range(PROTOCOL_REQUESTS):
                    start_s = time.perf_counter()
                    client.post(path, json=message).raise_for_status()
                    times_us.append(1e6 * (time.perf_counter() - start_s))
                if number:
                    medians_us[name].append(round(statistics.median(times_us), 1))
    return medians_us


INFER: Final = f"/v2/models/{names.MODEL_NAME}/infer"


def _inference(rows: list[list[float]]) -> JsonObject:
    values = [value for row in rows for value in row]
    return {"inputs": [{"name": "rows", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": values}]}


def _compare_with_mlserver(cluster: Cluster, folder: Path) -> None:
    """Send the same request to MLServer.

    Raises:
        SystemExit: The outputs differ.
    """
    asked = _inference(fleet_models.ROWS.to_numpy().tolist()) | {
        "outputs": [{"name": "predict"}, {"name": "predict_proba"}]
    }
    server_folder = folder / "mlserver"
    server_folder.mkdir()
    with mlserver(server_folder, fitted_forest(0, trees=registered_forests.TREES)) as server:
        answers = [
            httpx.post(url, json=asked, timeout=60).raise_for_status().json()
            for url in (cluster.api_url + INFER, server.url)
        ]
    ours, theirs = ({output["name"]: output["data"] for output in answer["outputs"]} for answer in answers)
    if ours != theirs:
        raise SystemExit("MLServer gives other answers.")


def _page(figures: JsonObject) -> str:
    rows = [
        [name, f"{result['p50_ms']:.2f}", f"{result['p99_ms']:.2f}", result["failed"]]
        for name, result in (("alone", figures["quiet"]), ("while other models come and go", figures["busy"]))
    ]
    visits, protocols = figures["visits"], figures["protocols"]
    protocol_rows = [
        [name, round(statistics.median(times_us)), f"{report.median_ratio(times_us, protocols['/predict'])}x"]
        for name, times_us in protocols.items()
    ]
    setting = (
        f"{figures['models']:,} registered forests of {registered_forests.TREES} trees, and one replica with room for "
        f"{figures['room']} ({figures['limit_bytes'] / MIB:.1f} MiB). One model is asked {RATE:g} times a second. "
        f"{CLIENTS} clients ask for the other models in random order."
    )
    answers = (
        f"- {visits['answers']:,} requests for other models, and {visits['loads_per_second']:g} loads a second. "
        f"{visits['lost']} requests were lost, and {visits['repeated']} were repeated after 503."
    )
    memory = (
        f"- At most {visits['most_models']} models and {visits['most_bytes'] / MIB:.1f} MiB of models were in memory "
        f"at any look, one a second. The replica grew by at most {visits['most_growth_bytes'] / MIB:.1f} MiB."
    )
    lines = [
        "# Many models behind one service",
        f"Written by `python -m tests.benchmark.catalog`. {report.describe_machine(figures['machine'])}",
        setting,
        report.markdown_table(("requests for one model", "p50, ms", "p99, ms", "failed"), rows),
        "\n".join(
            [answers, memory, f"- MLflow takes {figures['poll_s']:g} s for the one request that reads all champions."]
        ),
        "One row on one connection, default model:",
        report.markdown_table(("protocol", "median time of a request, µs", "by that of /predict"), protocol_rows),
        f"For {len(fleet_models.ROWS)} rows MLServer gave the same labels and probabilities to the last bit.",
    ]
    return "\n\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

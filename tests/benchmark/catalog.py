"""Many registered forests behind one replica that has room for few: `python -m tests.benchmark.catalog`.

One model is asked at a constant rate, alone and while clients ask for the other models in random order. A request that
gets 503 with `Retry-After` is repeated, as a client does; every other failure counts as lost.
"""

import argparse
import json
import random
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import psutil
from mlflow import MlflowClient

from app import names
from app.cli.ports import free_ports
from app.models import served_models
from app.models.served_models import SERVE_TAG
from app.serving.loading.limits import MIB
from tests.benchmark import load, report
from tests.support import fleet_models
from tests.support.fleet_models import REQUEST_ROWS, fitted_forest
from tests.support.json_object import JsonObject
from tests.support.ray_cluster import Cluster, create_cluster
from tests.support.waiting import wait_until

FORESTS: Final = 10
"""Different forests. The registered models share their files, so that a thousand models are registered in a minute."""
TREES: Final = 100
RATE: Final = 50.0
"""Requests per second for the model that is always loaded."""
CLIENTS: Final = 2
"""Clients that ask for the other models."""
WATCH_INTERVAL_S: Final = 5.0
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
    """Most bytes of all models together, of all samples."""


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
        cluster = create_cluster(Path(folder), free_ports(9), models_memory=int(options.room * size))
        stack.callback(cluster.mlflow.stop)
        stack.callback(cluster.ray.stop)
        cluster.start_ray()
        cluster.start_mlflow()
        models = _register(cluster, options.models)
        start_s = time.perf_counter()
        assert len(served_models.read_tagged(cluster.mlflow_url)) == options.models
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
            **_measure(cluster, models, options.seconds),
            "protocols": _measure_protocols(cluster),
        }
    page = _page(figures)
    print(page)  # noqa: T201 - the result
    if not options.quick:
        report.write_report("catalog", figures, page, {})


def _model_bytes() -> int:
    """Bytes of the arrays of one forest, with a margin for its description."""
    nodes = sum(tree.tree_.node_count for tree in fitted_forest(1, trees=TREES).estimators_)
    return int(nodes) * 29 + 8192


def _register(cluster: Cluster, count: int) -> list[str]:
    """Register the default model and the other models, with champions and tags."""
    client = MlflowClient(tracking_uri=cluster.mlflow_url, registry_uri=cluster.mlflow_url)
    for seed in range(FORESTS):
        fleet_models.register(cluster.mlflow_url, fitted_forest(seed, trees=TREES))
    client.set_registered_model_alias(names.MODEL_NAME, names.CHAMPION, "1")
    sources = [client.get_model_version(names.MODEL_NAME, str(index + 1)) for index in range(FORESTS)]
    models = [f"model-{index:04}" for index in range(count)]
    for index, name in enumerate(models):
        client.create_registered_model(name, tags={SERVE_TAG: "true"})
        source = sources[index % FORESTS]
        model_id = str(source.source).removeprefix("models:/")
        client.create_model_version(name, str(source.source), run_id=source.run_id, model_id=model_id)
        client.set_registered_model_alias(name, names.CHAMPION, "1")
    return models


def _models(cluster: Cluster) -> JsonObject:
    content: JsonObject = httpx.get(f"{cluster.api_url}/models", timeout=60).raise_for_status().json()
    return content


def _measure(cluster: Cluster, models: list[str], seconds: float) -> JsonObject:
    body = json.dumps({"features": REQUEST_ROWS[:1]}).encode()
    url = f"{cluster.api_url}/models/{models[0]}/predict"
    wait_until(lambda: httpx.post(url, content=body, headers=JSON, timeout=60).is_success, what="the first model")
    [replica] = cluster.replicas()
    process = psutil.Process(replica["pid"])
    before_bytes = process.memory_info().rss
    load.run_at_rate(url, body, rate=RATE, seconds=5)
    quiet = load.run_at_rate(url, body, rate=RATE, seconds=seconds)
    visits, end = Visits(), threading.Event()
    clients = [
        threading.Thread(target=_visit, args=(cluster, models[1:], visits, end, seed)) for seed in range(CLIENTS)
    ]
    clients.append(threading.Thread(target=_watch, args=(cluster, visits, end)))
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
            "answers_per_second": round(visits.answers / seconds, 2),
            "repeated": visits.repeated,
            "lost": len(visits.lost),
            "most_bytes": visits.most_bytes,
            "reasons": visits.lost[:3],
        },
        "replica_growth_bytes": process.memory_info().rss - before_bytes,
    }


JSON: Final = {"content-type": "application/json"}


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


def _watch(cluster: Cluster, visits: Visits, end: threading.Event) -> None:
    """Look at the memory of all models every few seconds. The list of all models is a request like others."""
    while not end.wait(WATCH_INTERVAL_S):
        held = sum(model["size_bytes"] for model in _models(cluster)["models"] if not model["is_default"])
        visits.most_bytes = max(visits.most_bytes, held)


def _measure_protocols(cluster: Cluster) -> JsonObject:
    """Median time of one request of each protocol for the default model, in microseconds, on one connection."""
    row = REQUEST_ROWS[:1]
    tensor = {"name": "rows", "shape": [1, len(row[0])], "datatype": "FP64", "data": row[0]}
    requests = {
        "/predict": ("/predict", {"features": row}),
        "Open Inference Protocol": (f"/v2/models/{names.MODEL_NAME}/infer", {"inputs": [tensor]}),
        "MLflow": ("/invocations", {"inputs": row}),
    }
    times_us: dict[str, list[float]] = {name: [] for name in requests}
    with httpx.Client(base_url=cluster.api_url, timeout=60) as client:
        for _ in range(ROUNDS):
            for name, (path, message) in requests.items():
                for _request in range(PROTOCOL_REQUESTS):
                    start_s = time.perf_counter()
                    client.post(path, json=message).raise_for_status()
                    times_us[name].append(1e6 * (time.perf_counter() - start_s))
    return {name: round(sorted(values)[len(values) // 2]) for name, values in times_us.items()}


def _page(figures: JsonObject) -> str:
    rows = [
        [name, f"{result['p50_ms']:.2f}", f"{result['p99_ms']:.2f}", result["failed"]]
        for name, result in (("alone", figures["quiet"]), ("while other models come and go", figures["busy"]))
    ]
    visits = figures["visits"]
    protocol_rows = [[name, value] for name, value in figures["protocols"].items()]
    setting = (
        f"{figures['models']:,} registered forests of {TREES} trees, and one replica with room for {figures['room']} "
        f"({figures['limit_bytes'] / MIB:.1f} MiB). One model is asked {RATE:g} times a second. {CLIENTS} clients ask "
        "for the other models in random order."
    )
    answers = (
        f"- {visits['answers_per_second']:g} answers of other models a second, of which "
        f"{100 * (1 - figures['room'] / figures['models']):.0f} % need a load. {visits['lost']} requests of "
        f"{visits['answers']:,} were lost, and {visits['repeated']} were repeated after 503."
    )
    memory = (
        f"- The models took at most {visits['most_bytes'] / MIB:.1f} MiB at any look. The replica grew by "
        f"{figures['replica_growth_bytes'] / MIB:.0f} MiB."
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
        report.markdown_table(("protocol", "median time of a request, µs"), protocol_rows),
    ]
    return "\n\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

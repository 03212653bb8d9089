"""Where the driver of a job runs, on a cluster of the smallest size: a head without CPUs, and a worker with one CPU."""

import asyncio
import os
from collections.abc import Iterator

import httpx
import pytest

from app.cli.destination import Destination
from app.cli.endpoints import Endpoints
from app.cli.jobs import submission
from app.cli.jobs.driver import DriverResources
from app.cli.jobs.job import Job
from app.cli.jobs.ray_jobs_api import JobSubmitRequest, RayJobsApi
from app.cli.ports import free_ports
from app.training.options import TrainOptions
from tests.support.json_object import JsonObject
from tests.support.ray_cluster import BIN, RAY_TOKEN, ROOT, START_TIMEOUT_S, Process
from tests.support.waiting import wait_until

REPLICA = (
    'python -uc "import ray, time; ray.init(); task = ray.remote(num_cpus=0.5)(lambda: time.sleep(600)); '
    "print('reserved'); ray.get(task.remote())\""
)
"""A job that reserves half of the worker's CPU, as the replica of a stack does."""


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    folder = tmp_path_factory.mktemp("c")
    gcs, dashboard, *agent_ports = free_ports(4)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("MANTA_", "MLFLOW_", "RAY_"))},
        "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": RAY_TOKEN,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",  # Ray refuses a second node on loopback otherwise
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }
    nodes = {
        "head": [
            *("--head", f"--port={gcs}", "--num-cpus=0", f"--temp-dir={folder}/r"),
            *(f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent_ports[0]}"),
        ],
        "worker": [
            *(f"--address=127.0.0.1:{gcs}", "--num-cpus=1", f"--memory={2 * 2**30}"),
            f"--dashboard-agent-listen-port={agent_ports[1]}",
        ],
    }
    shared = [str(BIN / "ray"), "start", "--block", "--node-ip-address=127.0.0.1"]
    ports = ["--min-worker-port=0", "--max-worker-port=0"]
    processes = {
        name: Process([*shared, *ports, *flags], environment, folder / f"{name}.log", folder=folder)
        for name, flags in nodes.items()
    }
    ray = Endpoints(ray_url=f"http://127.0.0.1:{dashboard}", ray_token=RAY_TOKEN)
    try:
        for count, process in enumerate(processes.values(), start=1):
            process.start()
            wait_for_nodes(ray, count)
        yield ray
    finally:
        for process in reversed(processes.values()):
            process.stop()


def wait_for_nodes(endpoints: Endpoints, count: int) -> None:
    wait_until(lambda: len(read_nodes(endpoints)) >= count, what=f"node {count}", timeout_s=START_TIMEOUT_S)


def read_nodes(endpoints: Endpoints) -> list[JsonObject]:
    """Ray's description of every node."""
    nodes: list[JsonObject] = get(endpoints, "/api/v0/nodes?detail=1")["data"]["result"]["result"]
    return nodes


def get(endpoints: Endpoints, path: str) -> JsonObject:
    answer = httpx.get(endpoints.ray_url + path, headers=endpoints.ray_headers, timeout=30)
    document: JsonObject = answer.raise_for_status().json()
    return document


async def start(endpoints: Endpoints, request: JobSubmitRequest) -> None:
    async with RayJobsApi(endpoints) as api:
        await api.submit(request, report=print)


async def train(endpoints: Endpoints) -> tuple[Job, list[str]]:
    """Train a forest that is large enough for tasks, and return the job and its log."""
    destination = Destination(endpoints=endpoints, name="smallest", is_local=True)
    options = TrainOptions(dataset="digits", trees=1500, max_depth=2)
    job = Job()
    async with RayJobsApi(endpoints) as api:
        await submission.submit(api, destination, options, job, driver=DriverResources(), report=print)
        return job, [line async for line in job.lines(api)]


def test_a_driver_and_a_task_fit_beside_a_replica_on_a_worker_with_one_cpu(endpoints: Endpoints) -> None:
    asyncio.run(start(endpoints, JobSubmitRequest(entrypoint=REPLICA, submission_id="replica")))
    wait_until(lambda: "reserved" in get(endpoints, "/api/jobs/replica/logs")["logs"], what="the replica")

    job, lines = asyncio.run(train(endpoints))

    assert any("with 1500 trees: fitted" in line for line in lines), "\n".join(lines)
    job.check()
    [worker] = [node for node in read_nodes(endpoints) if not node["is_head_node"]]
    assert get(endpoints, f"/api/jobs/{job.id}")["driver_node_id"] == worker["node_id"]
    assert get(endpoints, "/api/jobs/replica")["driver_node_id"] != worker["node_id"]

"""The program of KubeRay's job that deletes the state of a Ray cluster from Redis."""

import os
import subprocess
import sys
from pathlib import Path

import redis

from tests.support import redis_server

pytestmark = redis_server.needed

PASSWORD = "password-of-redis"  # noqa: S105 - the password of a test
TIMEOUT_S = 120
CLEANUP = """\
import sys
from ray._private.gcs_utils import cleanup_redis_storage
port, password, namespace = sys.argv[1:]
arguments = {"host": "127.0.0.1", "port": int(port), "password": password, "use_ssl": False}
sys.exit(0 if cleanup_redis_storage(**arguments, storage_namespace=namespace) else 1)
"""


def test_ray_deletes_the_state_of_a_cluster_without_the_clusters_token(tmp_path: Path) -> None:
    with redis_server.running(tmp_path, "--requirepass", PASSWORD) as server:
        client = redis.Redis(port=server.port, password=PASSWORD)
        for namespace in ("old", "new"):
            client.hset(f"RAY{namespace}@KV", "key", "value")
        environment = {"PATH": os.defpath, "HOME": str(tmp_path), "RAY_AUTH_MODE": "token"}

        command = [sys.executable, "-c", CLEANUP, str(server.port), PASSWORD, "old"]
        subprocess.run(command, env=environment, check=True, timeout=TIMEOUT_S)

        assert client.keys() == [b"RAYnew@KV"]

"""The log of a running platform as JSON lines."""

import json

import httpx

from app.cli.local.log_format import JSON_LOG
from app.cli.state import STATE_FOLDER
from tests.support.local import LocalFolder
from tests.support.waiting import wait_until


def test_the_log_says_which_request_loaded_a_version(api: httpx.Client, local: LocalFolder) -> None:
    version = api.get("model").json()["model_info"]["version"]
    request_id = api.post("model/load", json={"version": version}).raise_for_status().headers["x-request-id"]

    def lines() -> list[dict[str, object]]:
        text = (local.folder / STATE_FOLDER / "logs" / JSON_LOG).read_text()
        return [json.loads(line) for line in text.splitlines()]

    def events() -> list[dict[str, object]]:
        return [line for line in lines() if line.get("request_id") == request_id and "event" in line]

    wait_until(events, what="the event of the load")
    [load] = events()
    assert (load["event"], load["version"], load["role"]) == ("load_finished", version, "champion")
    assert {"replica_ready", "version_serves"} <= {line.get("event") for line in lines()}

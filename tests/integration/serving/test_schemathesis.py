"""Requests that Schemathesis generates from the OpenAPI document."""

import subprocess
import sys
from pathlib import Path

import httpx

SCHEMATHESIS = """
# Too many rows are 413, as too many bytes are.
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]

# The path of any model cannot say which columns a model has.
[[operations]]
include-path-regex = "/models/.name.(/versions/.version.)?/predict$"
checks.positive_data_acceptance.enabled = false

# Starlette names the methods of one of the two routes of this path in `Allow`.
[[operations]]
include-path-regex = "/models/.name.$"
checks.allow_header_conformance.enabled = false

# A schema cannot say that a tensor has as many values as its shape says.
[[operations]]
include-path-regex = "/infer$"
checks.positive_data_acceptance.enabled = false

# A rollout or a shadow would change the aliases that other tests expect.
[[operations]]
include-path-regex = "/(rollout|model/shadow)"
enabled = false

# MLflow's server answers these paths with the content type of JSON, but without JSON.
[[operations]]
include-path-regex = "/(ping|health|version)$"
enabled = false

# As in MLflow, a body may have further keys and columns, which no negative test expects.
[[operations]]
include-path-regex = "/invocations$"
enabled = false
"""


def test_schemathesis_finds_no_error(api: httpx.Client, tmp_path: Path) -> None:
    url = str(api.base_url).rstrip("/")
    (tmp_path / "schemathesis.toml").write_text(SCHEMATHESIS)

    process = subprocess.run(
        [
            *(Path(sys.executable).parent / "schemathesis", "run", f"{url}/openapi.json", "--url", url),
            *("--header", f"Authorization: {api.headers['authorization']}"),
            *("--max-examples", "20", "--seed", "1", "--generation-database", "none", "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert process.returncode == 0, process.stdout[-5000:]
    assert "4 selected" in process.stdout or "Operations" in process.stdout

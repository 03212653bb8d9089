import io
import json
import re
import subprocess
from pathlib import Path

import grpc
import httpx
import pandas as pd
import pytest

from app.training.data.sources import load_bundled
from tests.support.local import LocalFolder, RunningPlatform, clean_environment


@pytest.mark.usefixtures("platform")
class TestCommands:
    """Commands find the running platform through the state folder."""

    def test_status_shows_that_every_part_is_up(self, local: LocalFolder) -> None:
        process = local.run("status", "--json")

        parts = json.loads(process.stdout)
        assert process.returncode == 0
        assert {name: part["is_up"] for name, part in parts.items()} == {"ray": True, "mlflow": True, "serve": True}

    def test_predict_accepts_a_csv_with_columns_in_another_order(self, local: LocalFolder, tmp_path: Path) -> None:
        dataset = load_bundled("breast-cancer")
        rows = dataset.rows.features.head(20)[dataset.rows.features.columns[::-1]].assign(diagnosis="?")
        rows.to_csv(tmp_path / "rows.csv", index=False)

        process = local.run("predict", str(tmp_path / "rows.csv"))

        header, *lines = process.stdout.splitlines()
        assert process.returncode == 0, process.stderr
        assert header == "prediction,probability_benign,probability_malignant"
        assert [line.split(",")[0] for line in lines] == dataset.rows.target.head(20).tolist()
        assert "columns that the model does not know are ignored: diagnosis" in process.stderr

    def test_predict_reads_json_from_standard_input(self, local: LocalFolder) -> None:
        row = load_bundled("breast-cancer").rows.features.iloc[0].tolist()

        process = local.run("predict", "-", stdin=json.dumps([row]))

        assert process.returncode == 0, process.stderr
        assert json.loads(process.stdout)["predictions"] == ["malignant"]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "is empty"),
            ("colour\n1\n", "lacks columns of the model: mean radius, mean texture"),
            ("[[1, 2]]", "Row 0 has 2 values"),
            ("[[1, 2", "is not JSON"),
        ],
    )
    def test_predict_refuses_unusable_input_without_a_traceback(
        self, local: LocalFolder, content: str, message: str
    ) -> None:
        process = local.run("predict", "-", stdin=content)

        assert process.returncode == 1
        assert message in process.stderr
        assert "Traceback" not in process.stderr
        assert process.stdout == ""

    def test_predict_gives_the_same_answers_from_csv_and_from_parquet_to_parquet(
        self, local: LocalFolder, tmp_path: Path
    ) -> None:
        rows = load_bundled("breast-cancer").rows.features.sample(1500, replace=True, random_state=1)
        rows.to_csv(tmp_path / "rows.csv", index=False)
        rows.to_parquet(tmp_path / "rows.parquet")

        of_csv = local.run("predict", str(tmp_path / "rows.csv"))
        of_parquet = local.run("predict", str(tmp_path / "rows.parquet"), "--output", str(tmp_path / "answers.parquet"))

        assert (of_csv.returncode, of_parquet.returncode) == (0, 0), of_csv.stderr + of_parquet.stderr
        expected = pd.read_csv(io.StringIO(of_csv.stdout))
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "answers.parquet"), expected)
        assert len(expected) == 1500

    def test_models_shows_the_champion_and_how_many_replicas_serve_it(self, local: LocalFolder) -> None:
        document = json.loads(local.run("models", "--json").stdout)

        served = {version["number"]: version["replicas"] for version in document["versions"] if version["replicas"]}
        [champion] = [version["number"] for version in document["versions"] if "champion" in version["aliases"]]
        assert served == {champion: 1}

    def test_rollback_says_from_which_version_to_which(self, local: LocalFolder) -> None:
        process = local.run("rollback", "--to", "1")

        assert process.returncode == 0, process.stderr
        assert re.search(r"RandomForestClassifierModel: version \d+ → version 1 on 1 replica", process.stdout)

    def test_load_of_an_unknown_version_is_an_error(self, local: LocalFolder) -> None:
        process = local.run("load", "--version", "999")

        assert process.returncode == 1
        assert "There is no version 999" in process.stderr

    def test_load_serves_the_requested_version(self, local: LocalFolder) -> None:
        process = local.run("load", "--version", "1")

        assert process.returncode == 0, process.stderr
        assert "RandomForestClassifierModel version 1 serves" in process.stdout


def test_the_printed_curl_commands_work_unchanged(platform: RunningPlatform, local: LocalFolder) -> None:
    commands = re.findall(r"^  (curl .*)$", platform.output, re.MULTILINE)

    outputs = [
        subprocess.run(
            ["bash", "-c", command + " --fail-with-body --silent --max-time 60"],
            cwd=local.folder,
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=600,
            check=True,
        ).stdout
        for command in commands
    ]

    load, predict = map(json.loads, outputs)
    assert load["model_loaded"] is True
    assert predict["predictions"][0] in {"malignant", "benign"}


def test_only_the_grpc_port_of_a_replica_listens_beyond_loopback(platform: RunningPlatform) -> None:
    exposed = {
        (process.name(), connection.laddr.port)
        for process in platform.descendants()
        for connection in process.net_connections(kind="inet")
        if connection.status == "LISTEN" and connection.laddr.ip not in {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    }

    # Serve binds a gRPC port of each replica on all interfaces and has no setting for it. It must require the token.
    assert {name for name, _ in exposed} <= {"ray::ServeReplica:manta:ModelServer"}
    assert {port: _grpc_status(port) for _, port in exposed} == {
        port: grpc.StatusCode.UNAUTHENTICATED for _, port in exposed
    }


def _grpc_status(port: int) -> grpc.StatusCode:
    """Status of a gRPC call to a replica's port without a token."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as error:
        channel.unary_unary("/ray.serve.ASGIService/HandleRequest")(b"", timeout=10)
    code: grpc.StatusCode = error.value.code()
    return code


def test_ray_refuses_a_request_without_a_token(platform: RunningPlatform, local: LocalFolder) -> None:
    assert platform.process.poll() is None

    response = httpx.get(local.endpoints.ray_url + "/api/jobs/", timeout=10)

    assert response.status_code == 401


def test_without_a_platform_the_errors_say_how_to_start_one(tmp_path: Path) -> None:
    local = LocalFolder(tmp_path)
    (tmp_path / ".manta").mkdir()
    addresses = {f"{name}_url": "http://127.0.0.1:9" for name in ("ray", "mlflow", "serve")}
    (tmp_path / ".manta" / "platform.json").write_text(json.dumps(addresses))

    processes = {command: local.run(*command.split()) for command in ("load", "train", "status")}

    assert {command: process.returncode for command, process in processes.items()} == {
        "load": 1,
        "train": 1,
        "status": 1,
    }
    assert "manta local" in processes["load"].stderr
    assert "manta local" in processes["train"].stderr
    assert not any("Traceback" in process.stderr for process in processes.values())


@pytest.mark.parametrize(
    "command",
    ["local", "train", "reproduce", "load", "predict", "status", "models", "rollback", "forward", "doctor", "dev"],
)
def test_help_shows_an_example(tmp_path: Path, command: str) -> None:
    process = LocalFolder(tmp_path).run(command, "--help")

    assert process.returncode == 0
    assert f"Example: manta {command}" in process.stdout

import json
import re
import subprocess
from pathlib import Path

import grpc
import httpx
import pytest

from app.training.data.sources import load_bundled
from tests.support.local import LocalFolder, RunningPlatform, clean_environment


@pytest.mark.usefixtures("platform")
class TestCommands:
    """Commands against the running platform, found through the folder's state."""

    def test_status_shows_every_part_up(self, local: LocalFolder) -> None:
        ended = local.run("status", "--json")

        parts = json.loads(ended.stdout)
        assert ended.returncode == 0
        assert {name: part["is_up"] for name, part in parts.items()} == {"ray": True, "mlflow": True, "serve": True}

    def test_predict_answers_a_csv_whose_columns_stand_in_another_order(
        self, local: LocalFolder, tmp_path: Path
    ) -> None:
        dataset = load_bundled("breast-cancer")
        rows = dataset.features.head(20)[dataset.features.columns[::-1]].assign(diagnosis="?")
        rows.to_csv(tmp_path / "rows.csv", index=False)

        ended = local.run("predict", str(tmp_path / "rows.csv"))

        header, *lines = ended.stdout.splitlines()
        assert ended.returncode == 0, ended.stderr
        assert header == "prediction,probability_benign,probability_malignant"
        assert [line.split(",")[0] for line in lines] == dataset.target.head(20).tolist()
        assert "ignored, since the model does not know them: diagnosis" in ended.stderr

    def test_predict_answers_json_from_standard_input(self, local: LocalFolder) -> None:
        row = load_bundled("breast-cancer").features.iloc[0].tolist()

        ended = local.run("predict", "-", stdin=json.dumps([row]))

        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)["predictions"] == ["malignant"]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "is empty"),
            ("mean radius\n1\n", "lacks columns of the model: mean texture"),
            ("[[1, 2]]", "Row 0 has 2 values"),
            ("[[1, 2", "is not JSON"),
        ],
    )
    def test_predict_refuses_what_it_cannot_use_without_a_traceback(
        self, local: LocalFolder, content: str, message: str
    ) -> None:
        ended = local.run("predict", "-", stdin=content)

        assert ended.returncode == 1
        assert message in ended.stderr
        assert "Traceback" not in ended.stderr
        assert ended.stdout == ""

    def test_load_of_an_unknown_version_fails_and_says_so(self, local: LocalFolder) -> None:
        ended = local.run("load", "--version", "999")

        assert ended.returncode == 1
        assert "There is no version 999" in ended.stderr

    def test_load_serves_the_version_that_is_named(self, local: LocalFolder) -> None:
        ended = local.run("load", "--version", "1")

        assert ended.returncode == 0, ended.stderr
        assert "RandomForestClassifierModel version 1 serves" in ended.stdout


def test_the_printed_curl_commands_work_as_they_stand(platform: RunningPlatform, local: LocalFolder) -> None:
    commands = re.findall(r"^  (curl .*)$", platform.output, re.MULTILINE)

    answers = [
        subprocess.run(
            ["bash", "-c", command + " --fail-with-body --silent --max-time 60"],
            cwd=local.folder,
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=90,
            check=True,
        ).stdout
        for command in commands
    ]

    load, predict = map(json.loads, answers)
    assert load["model_loaded"] is True
    assert predict["predictions"][0] in {"malignant", "benign"}


def test_everything_listens_on_loopback_alone_but_for_what_serve_binds_itself(platform: RunningPlatform) -> None:
    exposed = {
        (process.name(), connection.laddr.port)
        for process in platform.descendants()
        for connection in process.net_connections(kind="inet")
        if connection.status == "LISTEN" and connection.laddr.ip not in {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    }

    # Serve gives each replica a gRPC port on all interfaces, and no setting for it: it must ask for the token.
    assert {name for name, _ in exposed} <= {"ray::ServeReplica:manta:ModelServer"}
    assert {port: _grpc_status(port) for _, port in exposed} == {
        port: grpc.StatusCode.UNAUTHENTICATED for _, port in exposed
    }


def _grpc_status(port: int) -> grpc.StatusCode:
    """What a replica's port answers to a call without a token."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/ray.serve.ASGIService/HandleRequest")(b"", timeout=10)
    code: grpc.StatusCode = refused.value.code()
    return code


def test_ray_refuses_who_has_no_token(platform: RunningPlatform, local: LocalFolder) -> None:
    assert platform.process.poll() is None

    answer = httpx.get(local.target.ray_url + "/api/jobs/", timeout=10)

    assert answer.status_code == 401


def test_commands_without_a_platform_say_how_to_start_one(tmp_path: Path) -> None:
    nobody = LocalFolder(tmp_path)
    (tmp_path / ".manta").mkdir()
    addresses = {f"{name}_url": "http://127.0.0.1:9" for name in ("ray", "mlflow", "serve")}
    (tmp_path / ".manta" / "platform.json").write_text(json.dumps(addresses))

    endings = {command: nobody.run(*command.split()) for command in ("load", "train", "status")}

    assert {command: ended.returncode for command, ended in endings.items()} == {"load": 1, "train": 1, "status": 1}
    assert "manta local" in endings["load"].stderr
    assert "manta local" in endings["train"].stderr
    assert not any("Traceback" in ended.stderr for ended in endings.values())


@pytest.mark.parametrize("command", ["local", "train", "load", "predict", "status"])
def test_help_shows_an_example(tmp_path: Path, command: str) -> None:
    ended = LocalFolder(tmp_path).run(command, "--help")

    assert ended.returncode == 0
    assert f"Example: manta {command}" in ended.stdout

"""Runs a `manta` command against a service that answers one request."""

import pytest
from typer.testing import CliRunner

from app.cli.main import cli
from tests.support.json_object import JsonObject
from tests.support.json_server import json_server


def run_command(
    monkeypatch: pytest.MonkeyPatch, route: str, answer: JsonObject, *arguments: str
) -> tuple[str, JsonObject]:
    """Run a command.

    Args:
        monkeypatch: Sets the address of the service.
        route: Method and path of the request, such as `GET /fastapi_app/model`.
        answer: What the service answers.
        arguments: The command with its arguments.

    Returns:
        The output of the command, and the body of its request.
    """
    bodies: list[JsonObject] = []

    def handle(body: JsonObject) -> JsonObject:
        bodies.append(body)
        return answer

    with json_server({route: handle}) as url:
        monkeypatch.setenv("MANTA_SERVE_URL", url)
        result = CliRunner().invoke(cli, arguments, catch_exceptions=False, env={"COLUMNS": "200"})
    return result.output, bodies[0]

"""What `manta local` prints when the platform is ready: its addresses, and commands to try."""

import json
from pathlib import Path

from app.cli.endpoints import Endpoints
from app.cli.json_object import JsonObject
from app.cli.progress import console
from app.cli.state import TOKEN_FILE


def show(endpoints: Endpoints, state: Path, request: JsonObject | None) -> None:
    """Print the addresses and the commands.

    Args:
        endpoints: Addresses of the platform.
        state: Folder with the token.
        request: Body of a prediction request; None if there is no version with an example.
    """
    token_file = state / TOKEN_FILE
    authorization = f'-H "Authorization: Bearer $(cat {token_file})"'
    if request is None:
        next_steps = [
            f"Train your own version of {endpoints.model_name}:",
            "  manta train --model model.py:build --data data.py:load --target COLUMN",
        ]
    else:
        json_header = "-H 'Content-Type: application/json'"
        next_steps = [
            "Load the newest model version that passed the gate:",
            f"  curl -X POST {endpoints.api_url}/model/load {authorization}",
            "Send a prediction request:",
            f"  curl -X POST {endpoints.api_url}/predict {json_header} -d '{json.dumps(request)}'",
            "Train another model:",
            "  manta train --trees 200",
        ]
    for line in (
        "",
        f"Ray      {endpoints.ray_url}   (its token is in {token_file})",
        f"MLflow   {endpoints.mlflow_url}",
        f"Serve    {endpoints.api_url}/",
        "",
        *next_steps,
        "",
    ):
        console.print(line, markup=False)

"""Options that several commands take with the same meaning."""

from typing import Annotated, Literal

import typer

StackOption = Annotated[
    str, typer.Option("--stack", metavar="NAME", help="Pulumi stack (default: the selected stack).", show_default=False)
]

PlatformOption = Annotated[
    str,
    typer.Option(
        "--stack",
        metavar="NAME",
        help="Pulumi stack (default: the environment, the platform of this folder, then the selected stack).",
        show_default=False,
    ),
]

LogOption = Annotated[
    str,
    typer.Option(
        "--log",
        metavar="mlflow|URL",
        help="Where the prediction log is (default: MANTA_PREDICTION_LOG, else mlflow).",
        show_default=False,
    ),
]

RolloutOption = Annotated[
    Literal["manual", "auto"],
    typer.Option(
        metavar="manual|auto",
        help="With auto, a version that passes its gate begins a rollout instead of becoming the champion at once.",
    ),
]

NameOption = Annotated[
    str,
    typer.Option("--name", metavar="NAME", help="Registered model (default: the default model).", show_default=False),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

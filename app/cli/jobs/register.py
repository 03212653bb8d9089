"""`manta register`: register a model that was fitted elsewhere, through the same gate as every trained model."""

from typing import Annotated

import typer

from app.cli.model_settings import open_settings
from app.cli.shared_options import PlatformOption


def register(
    location: Annotated[
        str,
        typer.Argument(
            metavar="FILE|URI",
            help="A skops file, or a model in MLflow: models:/m-..., runs:/RUN/model.",
            show_default=False,
        ),
    ],
    *,
    data: Annotated[
        str,
        typer.Option(
            metavar="PATH|URL",
            help="Rows that the model was not fitted on, as for `manta train`.",
            show_default=False,
        ),
    ],
    target: Annotated[str, typer.Option(metavar="COLUMN", help="Column with the true values.", show_default=False)],
    name: Annotated[str, typer.Option(help="Registered model (default: MANTA_MODEL_NAME).", show_default=False)] = "",
    metric: Annotated[
        str, typer.Option(help="Metric of the gate (default: balanced_accuracy or rmse).", show_default=False)
    ] = "",
    margin: Annotated[
        float, typer.Option(help="Minimum improvement over the champion; below 0: not worse by more.")
    ] = 0.0,
    no_promote: Annotated[
        bool, typer.Option("--no-promote", help="Register the version, but do not change the champion.")
    ] = False,
    no_reference: Annotated[
        bool,
        typer.Option(
            "--no-reference",
            help="Store neither statistics nor rows of the data with the version. `manta drift` needs them.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Promote the version even if the gate fails.")] = False,
    stack: PlatformOption = "",
) -> None:
    """Register a model that was fitted elsewhere.

    The model is read without running code from it and is checked for serving. The gate compares it with the champion
    on the rows of --data.

    Example: manta register model.skops --data test.csv --target sold
    """
    # The machine-learning libraries take seconds to import.
    from app.training import existing_model, registration  # noqa: PLC0415

    registration.configure_logging()
    options = existing_model.RegisterOptions(
        location=location,
        data=data,
        target=target,
        metric=metric or None,
        margin=margin,
        promote=not no_promote,
        reference=not no_reference,
        force=force,
    )
    with open_settings(name=name, stack=stack) as config:
        registration.print_result(existing_model.register(options, config))

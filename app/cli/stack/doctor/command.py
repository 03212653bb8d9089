"""`manta doctor`: checks the machine, the cluster and the stack."""

import json
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated

import typer

from app.cli.shared_options import JsonOption, StackOption
from app.cli.stack.doctor import health, preflight
from app.cli.stack.doctor import rights as rights_checks
from app.cli.stack.doctor.checks import CheckResult, Status
from app.cli.stack.outputs import StackError, read_configuration, read_outputs
from app.cli.stack.programs import Kubectl
from app.command import EXIT_FAILED


def doctor(
    stack: StackOption = "",
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
    rights: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--rights", help="Only list the RBAC rights that `pulumi up` needs, and check each.")
    ] = False,
) -> None:
    """Check tools, cluster and configuration, and every part of a stack that is up.

    Each failed check names the next step.
    The exit code is 1 if a check failed.

    Example: manta doctor --stack prod
    """
    results = check_rights(stack) if rights else run_checks(stack)
    failed = sum(result.status is Status.WRONG for result in results)
    if as_json:
        typer.echo(json.dumps({"wrong": failed, "findings": [asdict(result) for result in results]}, indent=2))
    else:
        for result in results:
            typer.echo(str(result))
        typer.echo(f"{failed} of {len(results)} checks failed" if failed else f"all {len(results)} checks passed")
    if failed:
        raise typer.Exit(EXIT_FAILED)


def check_rights(stack: str) -> list[CheckResult]:
    """Check the rights of the user in the stack's cluster."""
    try:
        configuration = read_configuration(stack)
    except StackError as error:
        return [CheckResult("stack", Status.WRONG, error.detail, error.next_step)]
    context = configuration.get("context", "")
    with suppress(StackError):  # a stack that is up knows the cluster of `clusterStack` too
        context = context or read_outputs(stack).context
    return list(rights_checks.run_checks(configuration, Kubectl(context)))


def run_checks(stack: str) -> list[CheckResult]:
    """Run every check that applies. The parts are checked only if the stack is up."""
    try:
        configuration = read_configuration(stack)
    except StackError as error:
        return [*preflight.check_tools({}), CheckResult("stack", Status.WRONG, error.detail, error.next_step)]
    try:
        outputs = read_outputs(stack)
    except StackError:
        return [*preflight.run_checks(configuration), CheckResult("stack", Status.OK, "not up yet")]
    configuration["context"] = configuration.get("context") or outputs.context
    has_redis = configuration["redis"] == "in-cluster"
    return [*preflight.run_checks(configuration), *health.run_checks(outputs, has_redis=has_redis)]

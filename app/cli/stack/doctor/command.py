"""`manta doctor`: what is wrong with the machine, the cluster or the stack, and what to do about it."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from app.cli.stack import outputs
from app.cli.stack.doctor import health, preflight
from app.cli.stack.doctor.checks import Finding, Status
from app.cli.stack.outputs import StackError
from app.command import EXIT_FAILED


def doctor(
    stack_name: Annotated[
        str, typer.Option("--stack", help="Pulumi stack; the selected one where nothing is said.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document in place of lines.")] = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Check the machine and the cluster before `pulumi up`, and the health of every part after it."""
    found = diagnose(stack_name)
    wrong = sum(finding.status is Status.WRONG for finding in found)
    if as_json:
        typer.echo(json.dumps({"wrong": wrong, "findings": [asdict(finding) for finding in found]}, indent=2))
    else:
        for finding in found:
            typer.echo(str(finding))
        typer.echo(f"{wrong} of {len(found)} checks went wrong" if wrong else f"all {len(found)} checks passed")
    if wrong:
        raise typer.Exit(EXIT_FAILED)


def diagnose(stack_name: str) -> list[Finding]:
    """Run every check that applies: those of the parts only where the stack is up."""
    try:
        config = outputs.configuration(stack_name)
    except StackError as error:
        unset = Finding("stack", Status.WRONG, error.detail, error.next_step)
        return [*preflight.tools({}), unset]
    found = list(preflight.findings(config))
    try:
        found_outputs = outputs.outputs(stack_name)
    except StackError:
        return [*found, Finding("stack", Status.OK, "not up yet")]
    return found + list(health.findings(found_outputs))

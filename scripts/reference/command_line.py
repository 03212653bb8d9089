"""docs/reference/command-line.md: every command, argument and option, from the Typer applications."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic_core import PydanticUndefined
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from app.cli.main import cli
from app.command import EXIT_FAILED, EXIT_INTERRUPTED, single_command_app
from app.settings import Settings
from app.training import job as training
from app.training.command_line import create_command
from scripts.reference.markdown import code, code_list, interval, table
from scripts.reference.markdown import page as markdown_page

EXIT_CODES: Final = {
    "0": "The command succeeded.",
    str(EXIT_FAILED): "The command failed. The reason and the next step are on standard error.",
    "2": "The command line is wrong: an unknown option, a missing argument, a value out of range.",
    str(EXIT_INTERRUPTED): "Ctrl-C ended the command.",
    "other": "`manta train` ends with the exit code of the job. "
    "A job or a command that a signal ended has the exit code 128 plus the number of the signal.",
}

VARIABLES: Final = """\
The commands and the processes of the platform read these variables. An option has priority over a variable, and a
variable has priority over the addresses that `manta local` writes into `.manta/`."""

COMPLETION: Final = """\
`manta --install-completion` sets up bash, zsh, fish or PowerShell so that Tab completes commands and options.
Open a new terminal afterwards. `manta --show-completion` prints what it would add."""

TRAIN: Final = """\
`manta train` submits this command to Ray as a job. If you start it yourself, it trains in the current process; a search
needs the Ray cluster of `RAY_ADDRESS`. MLflow at `MLFLOW_TRACKING_URI` records the run."""


def page() -> str:
    """The page: each command in the order of `manta --help`, the training job, completion, exit codes and variables."""
    group = get_command(cli)
    commands = {f"manta {name}": command for name, command in subcommands(group).items()}
    summary = [(f"[`{name}`](#{name.replace(' ', '-')})", _summary(command)) for name, command in commands.items()]
    blocks = [group.help or "", table(("Command", "Purpose"), summary)]
    for name, command in commands.items():
        blocks += [f"## {name}", *_command_blocks(name, command)]
    blocks += ["## python -m app.train", TRAIN, _options_of_the_job(commands["manta train"])]
    blocks += ["## Shell completion", COMPLETION]
    blocks += ["## Exit codes", table(("Code", "Meaning"), EXIT_CODES.items())]
    blocks += ["## Environment variables", VARIABLES, table(("Variable", "Default", "Meaning"), _variables())]
    return markdown_page("Command line", source="the Typer applications in app/", blocks=blocks)


def subcommands(group: object) -> dict[str, TyperCommand]:
    """The commands of a Typer application, by name. The name of a command in a group begins with that of the group."""
    found: dict[str, TyperCommand] = {}
    for name, command in (group.commands if isinstance(group, TyperGroup) else {}).items():
        if isinstance(command, TyperCommand):
            found[name] = command
        found |= {f"{name} {inner}": inner_command for inner, inner_command in subcommands(command).items()}
    return found


def training_job() -> TyperCommand:
    """The command `python -m app.train`."""
    job = get_command(single_command_app(create_command(training.run, help_text=training.HELP)))
    if not isinstance(job, TyperCommand):
        raise TypeError("The training job is not one command.")
    return job


def _options_of_the_job(submitter: TyperCommand) -> str:
    """The difference between the options of the training job and those of the command that submits it."""
    job_options = {param.name for param in training_job().params}
    missing = [option for param in submitter.params if param.name not in job_options for option in param.opts]
    return f"It takes the options of [`manta train`](#manta-train), except {code_list(missing)}."


def _command_blocks(name: str, command: TyperCommand) -> Iterator[str]:
    """Yield the help, the usage and a table for each panel of options."""
    text, _, example = (command.help or "").partition("\n\nExample: ")
    yield text
    arguments = [param for param in command.params if isinstance(param, TyperArgument)]
    words = [name, "[OPTIONS]", *(_metavar(argument) for argument in arguments)]
    yield f"```text\n{' '.join(words)}\n```"
    if example:
        yield f"Example:\n\n```sh\n{example}\n```"
    rows = [
        (code(_metavar(argument)), "yes" if argument.required else "no", argument.help or "") for argument in arguments
    ]
    yield table(("Argument", "Required", "Meaning"), rows)
    panels: dict[str, list[tuple[str, ...]]] = {}
    for param in command.params:
        if isinstance(param, TyperOption) and not param.hidden:
            panels.setdefault(param.rich_help_panel or "Options", []).append(_option_row(param))
    for panel in sorted(panels, key=lambda title: title != "Options"):
        yield f"**{panel}**"
        yield table(("Option", "Value", "Default", "Variable", "Meaning"), panels[panel])


def _option_row(option: TyperOption) -> tuple[str, ...]:
    default = "" if option.is_flag or option.default is None else code(option.default)
    names = code_list(option.opts + option.secondary_opts)
    return names, _value(option), default, _variable(option), option.help or ""


def _value(option: TyperOption) -> str:
    """Allowed values of an option: its choices, a range, or a type; empty for a flag."""
    kind = option.type_descriptor
    if option.is_flag:
        return ""
    if kind.is_choice:
        return code_list(choice.value if hasattr(choice, "value") else choice for choice in kind.choices or ())
    words = {int: "integer", float: "number", str: "text", list[str]: "texts", Path: "path"}
    word = words[kind.annotation]
    limits = interval(option.min, option.max)
    return f"{word}, {limits}" if limits else word


def _variable(option: TyperOption) -> str:
    names = [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
    return code_list(names)


def _metavar(argument: TyperArgument) -> str:
    return argument.metavar or (argument.name or "").upper()


def _summary(command: TyperCommand) -> str:
    return (command.help or "").split("\n\n")[0].replace("\n", " ")


def _variables() -> Iterator[tuple[str, ...]]:
    for field in Settings.model_fields.values():
        default = field.default if field.default not in {None, (), "", PydanticUndefined} else ""
        default_text = str(default).lower() if isinstance(default, bool) else default
        yield code(field.alias), code(default_text), field.description or ""

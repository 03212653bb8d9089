"""The pages are correct: links lead to a page, code parses, and commands, options, keys and targets exist."""

import ast
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from typer._click.exceptions import UsageError
from typer.core import TyperCommand
from typer.main import get_command

from app.cli.main import cli
from infra.config import settings
from scripts.reference.command_line import subcommands, training_job
from tests.support import shell
from tests.support.markdown import PAGES, ROOT, page

DIAGRAMS = ("flowchart", "graph", "sequenceDiagram", "stateDiagram", "classDiagram", "erDiagram", "timeline", "gantt")
PARSERS: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "python": ast.parse,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
}
PLACEHOLDER = "KEY"
"""Stands for any key of the configuration."""

MANTA = subcommands(get_command(cli))
TRAIN = training_job()

every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Every command in the shell blocks of a page, and where its block starts."""
    for block in page(path).blocks:
        if block.language == "sh":
            for words in shell.commands(block.content):
                yield f"{path.name}:{block.line}", words


@every_page
def test_every_link_leads_to_a_file_and_a_heading_that_exist(path: Path) -> None:
    dead = []
    for link in page(path).links:
        if re.match(r"[a-z][a-z+.-]*:", link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (path.parent / name).resolve() if name else path
        is_dead_anchor = target.suffix == ".md" and target.exists() and anchor not in {"", *page(target).anchors}
        if not target.is_relative_to(ROOT) or not target.exists() or is_dead_anchor:
            dead.append(link)

    assert dead == []


@every_page
def test_every_block_names_its_language(path: Path) -> None:
    assert [block.line for block in page(path).blocks if not block.language] == []


@every_page
def test_every_block_of_data_or_python_parses(path: Path) -> None:
    for block in page(path).blocks:
        if block.language in PARSERS:
            PARSERS[block.language](block.content)


@every_page
def test_every_shell_block_parses(path: Path) -> None:
    blocks = [block for block in page(path).blocks if block.language == "sh"]

    checked = [
        subprocess.run(["sh", "-n"], input=block.content, text=True, capture_output=True, check=False)
        for block in blocks
    ]

    assert [(block.line, result.stderr) for block, result in zip(blocks, checked, strict=True) if result.stderr] == []


@every_page
def test_no_shell_block_shows_a_prompt(path: Path) -> None:
    blocks = [block for block in page(path).blocks if block.language == "sh"]

    assert [block.line for block in blocks if re.search(r"^[$%>] ", block.content, re.MULTILINE)] == []


@every_page
def test_no_shell_block_that_brings_a_stack_up_destroys_one(path: Path) -> None:
    both = re.compile(r"pulumi up.*pulumi destroy|pulumi destroy.*pulumi up", re.DOTALL)

    assert [block.line for block in page(path).blocks if block.language == "sh" and both.search(block.content)] == []


@every_page
def test_every_key_that_is_set_exists(path: Path) -> None:
    keys = [*settings.keys(), PLACEHOLDER]

    set_keys = [(where, key_of(words[3:])) for where, words in lines(path) if words[:3] == ["pulumi", "config", "set"]]

    assert [(where, key) for where, key in set_keys if key not in keys] == []


def key_of(words: list[str]) -> str:
    """The key in the arguments of `pulumi config set`, without the project's name and without the path in it."""
    with_value = {"--stack", "-s", "--cwd", "-C"}
    positional = [
        word
        for previous, word in zip(["", *words], words, strict=False)
        if word[0] != "-" and previous not in with_value
    ]
    return re.split(r"[\[.]", positional[0].removeprefix(f"{settings.PROJECT}:"))[0]


@every_page
def test_every_manta_command_takes_its_options_and_arguments(path: Path) -> None:
    wrong = []
    for where, words in lines(path):
        if Path(words[0]).name == "manta":
            wrong += [(where, words, fault) for fault in faults_of_manta(words[1:])]
        elif "app.train" in words and "-m" in words:
            arguments = words[words.index("app.train") + 1 :]
            wrong += [(where, words, fault) for fault in faults(TRAIN, arguments)]

    assert wrong == []


def faults_of_manta(words: list[str]) -> Iterator[str]:
    if words in ([], ["--help"]):
        return
    length = 1 if words[0] in MANTA else 2
    name = " ".join(words[:length])
    if name not in MANTA:
        yield f"no command {name}"
        return
    yield from faults(MANTA[name], words[length:])


def faults(command: TyperCommand, words: list[str]) -> Iterator[str]:
    """Wrong options and arguments of a command; values are not checked."""
    if "--help" in words:
        return
    context = command.context_class(command, info_name=command.name)
    try:
        values, superfluous, _ = command.make_parser(context).parse_args(list(words))
    except UsageError as error:
        yield error.format_message()
        return
    if superfluous:
        yield f"superfluous: {superfluous}"
    missing = [param.name for param in command.params if param.required and not values.get(param.name or "")]
    if missing:
        yield f"missing: {missing}"


@every_page
def test_every_target_of_make_exists(path: Path) -> None:
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    called = [
        (where, word)
        for where, words in lines(path)
        if words[0] == "make"
        for word in words[1:]
        if "=" not in word and not word.startswith("-")
    ]

    assert [(where, target) for where, target in called if target not in targets] == []


@every_page
def test_every_diagram_is_of_a_type_that_mermaid_knows(path: Path) -> None:
    diagrams = [block for block in page(path).blocks if block.language == "mermaid"]

    assert [block.line for block in diagrams if not block.content.lstrip().startswith(DIAGRAMS)] == []

"""The events of the log: each is used with the fields that the reference lists."""

import ast
from collections.abc import Iterator
from pathlib import Path

import app.drift
import app.serving
from app.serving.event_log import events


def uses() -> Iterator[tuple[str, frozenset[str]]]:
    """Each call of an event in the code: its name in the module, and the names of its fields."""
    folders = (*app.serving.__path__, *app.drift.__path__)
    for file in (file for folder in folders for file in Path(folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id == "events":
                    yield node.func.attr, frozenset(keyword.arg or "**" for keyword in node.keywords)


def test_every_event_is_logged_with_its_fields() -> None:
    documented = {(event.name.upper(), frozenset(event.fields)) for event in events.all_events()}

    assert set(uses()) == documented


def test_every_field_has_a_meaning() -> None:
    used = {field for event in events.all_events() for field in event.fields}

    assert used == events.FIELDS.keys()

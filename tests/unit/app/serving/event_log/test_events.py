"""The events of the log: each is used with the fields that the reference lists."""

import ast
from collections.abc import Iterator
from pathlib import Path

import app.serving
from app.serving.event_log import events


def uses() -> Iterator[tuple[str, frozenset[str]]]:
    """Each call of an event in the code of the service: its name in the module, and the names of its fields."""
    for file in Path(app.serving.__path__[0]).rglob("*.py"):
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

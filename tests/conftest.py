"""Marks each test by the folder it stands in."""

import gc
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test the mark of its tier: unit, integration, e2e or benchmark."""
    for item in items:
        tier = item.path.relative_to(TESTS).parts[0]
        item.add_marker(getattr(pytest.mark, tier))


def pytest_collection() -> None:
    """Collect no garbage among what imports make: it stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave what imports made out of every later collection: a fifth of the unit tier's time went there."""
    gc.freeze()
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a failed end-to-end stack be looked at."""
    parser.addoption("--keep-failed", action="store_true", help="keep the stack of a failed end-to-end test")

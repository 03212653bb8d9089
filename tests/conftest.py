"""Marks each test with the name of its folder below tests/, and sets what is true for all of them."""

import gc
from pathlib import Path

import hypothesis
import pytest

TESTS = Path(__file__).parent

# A busy machine takes longer for an example than hypothesis allows. pytest's own limit ends an example that hangs.
hypothesis.settings.register_profile("manta", deadline=None)
hypothesis.settings.load_profile("manta")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test as unit, integration, e2e or benchmark."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        item.add_marker(getattr(pytest.mark, folder))


def pytest_collection() -> None:
    """Switch garbage collection off during collection, because imported modules stay in memory."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Exclude the imported modules from garbage collection, which took a fifth of the time of the unit tests."""
    gc.freeze()
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that keeps the stack of a failed end-to-end test for inspection."""
    parser.addoption("--keep-failed", action="store_true", help="keep the stack of a failed end-to-end test")

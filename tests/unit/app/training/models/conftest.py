import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.training.models.model_file import FileDefinition

WriteModel = Callable[..., FileDefinition]


@pytest.fixture
def write_model(tmp_path: Path) -> Iterator[WriteModel]:
    """Write a file `own_model.py` and import its function. At the end the module and its folder are forgotten."""
    path_before = list(sys.path)

    def write(text: str, function: str = "") -> FileDefinition:
        (tmp_path / "own_model.py").write_text(text)
        return FileDefinition(tmp_path / "own_model.py", function)

    yield write
    sys.path[:] = path_before
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]

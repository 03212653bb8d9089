"""The import of a user's Python file by its path."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

from app.training.models.code_errors import ModelCodeError, user_code

OWN_PACKAGE: Final = __name__.partition(".")[0]
"""The package of this project. It may lie in the folder of a user's file, and is no code of the user."""


def load_module(path: Path) -> ModuleType:
    """Import a file as a module that is named like the file, with the file's folder on the module path.

    The same file is imported once in a process. A module that was imported under this name from another place stays.

    Args:
        path: The file.

    Raises:
        ModelCodeError: The file does not exist, its name is not usable, or its code raises an exception.
    """
    path = path.resolve()
    _check_file(path)
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    if loaded is not None or _is_installed(path):
        raise ModelCodeError(
            f"The file {path.name} has the name of another module, {path.stem}.", next_step="Rename the file."
        )
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise ModelCodeError(f"{path.name} is no Python file.", next_step="Give a file that ends in .py.")
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    try:
        with user_code(path.parent, doing=f"{path.name} cannot be imported"):
            specification.loader.exec_module(module)
    except ModelCodeError:
        del sys.modules[path.stem]
        raise
    return module


def local_modules(folder: Path) -> list[ModuleType]:
    """List the imported modules whose files lie in a folder, without installed packages.

    A model that holds classes of these modules can be pickled by value, see `cloudpickle.register_pickle_by_value`.
    """
    folder = folder.resolve()
    return [module for name, module in list(sys.modules.items()) if _is_local(name, module, folder)]


def read(path: Path) -> tuple[str, str]:
    """Read a file, and return its text and the SHA-256 of its bytes, in hex.

    Raises:
        ModelCodeError: The file does not exist, or is no text.
    """
    _check_file(path)
    content = path.read_bytes()
    try:
        return content.decode(), hashlib.sha256(content).hexdigest()
    except UnicodeDecodeError as error:
        raise ModelCodeError(f"{path.name} is not UTF-8: {error}.", next_step="Save it as UTF-8.") from error


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise ModelCodeError(f"The file {path} does not exist.", next_step="Give the path of a Python file.")
    if path.suffix != ".py" or not path.stem.isidentifier() or path.stem == OWN_PACKAGE:
        raise ModelCodeError(
            f"The file {path.name} cannot be imported because of its name.",
            allowed="a name of letters, digits and underscores that ends in .py, and not app.py",
            next_step="Rename the file.",
        )


def _is_installed(path: Path) -> bool:
    """Whether a module of the file's name is found elsewhere, such as a package or a module of Python."""
    found = importlib.util.find_spec(path.stem)
    return found is not None and found.origin is not None and Path(found.origin).resolve() != path


def _is_local(name: str, module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    if file is None or name.partition(".")[0] in {OWN_PACKAGE, "__main__"}:
        return False
    path = Path(file).resolve()
    return path.is_relative_to(folder) and path.relative_to(folder).parts[: 1 + name.count(".")] == _parts(name, path)


def _parts(name: str, path: Path) -> tuple[str, ...]:
    """Return the path of a module inside the folder that is on the module path."""
    parts = tuple(name.split("."))
    return parts if path.name == "__init__.py" else (*parts[:-1], f"{parts[-1]}.py")

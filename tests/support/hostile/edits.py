"""Edits of a stored model: what a damaged disk, a careless script or an attacker can leave in MLflow."""

import io
import json
import os
import random
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import yaml

from tests.support.hostile.npy_bodies import header
from tests.support.json_object import JsonObject

Edit = Callable[[Path], None]
"""Changes the files in the folder of a logged model."""

MODEL_FILE: Final = "model.skops"
HUGE_BYTES: Final = 2 * 1024**3
"""Size of an array that does not fit into the memory of a process of these tests."""
SPARSE_BYTES: Final = 1024**4
"""Size of a file that no memory and no disk can hold."""


@contextmanager
def edited(folder: Path) -> Iterator[Path]:
    """Restore the files of a folder after the block."""
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)
            shutil.copytree(copy, folder)


def members(path: Path) -> dict[str, bytes]:
    """Read the members of a skops file."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path: Path, content: dict[str, bytes]) -> None:
    """Replace a skops file."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def change_members(change: Callable[[dict[str, bytes]], None]) -> Edit:
    """An edit of the members of the skops file."""

    def edit(folder: Path) -> None:
        content = members(folder / MODEL_FILE)
        change(content)
        write_members(folder / MODEL_FILE, content)

    return edit


def change_arrays(change: Callable[[np.ndarray], np.ndarray | None]) -> Edit:
    """An edit of every array of the skops file. The function returns None for an array that stays."""

    def change_all(content: dict[str, bytes]) -> None:
        changed = 0
        for name in [name for name in content if name.endswith(".npy")]:
            array = change(np.load(io.BytesIO(content[name]), allow_pickle=False))
            if array is not None:
                file = io.BytesIO()
                np.save(file, array, allow_pickle=False)
                content[name], changed = file.getvalue(), changed + 1
        assert changed, "no array was changed"

    return change_members(change_all)


def change_nodes(**values: int) -> Edit:
    """An edit of fields of the first node of every tree."""

    def change(array: np.ndarray) -> np.ndarray | None:
        if not array.dtype.names or not array.shape:
            return None
        for field, value in values.items():
            array[field][0] = value
        return array

    return change_arrays(change)


def change_metadata(change: Callable[[JsonObject], None]) -> Edit:
    """An edit of the file `MLmodel`."""

    def edit(folder: Path) -> None:
        path = folder / "MLmodel"
        document = yaml.safe_load(path.read_text())
        change(document)
        path.write_text(yaml.safe_dump(document))

    return edit


def set_metadata(value: object, *keys: str) -> Edit:
    """An edit that sets one key of the file `MLmodel`."""

    def change(document: JsonObject) -> None:
        *parents, last = keys
        for key in parents:
            document = document[key]
        document[last] = value

    return change_metadata(change)


def set_signature(*columns: tuple[str, str]) -> Edit:
    """An edit that replaces the columns of the signature, each given as name and type."""
    inputs = [{"name": name, "type": kind, "required": True} for name, kind in columns]
    return set_metadata(json.dumps(inputs), "signature", "inputs")


def set_example(*rows: list[object], columns: list[str] | None = None) -> Edit:
    """An edit that replaces the input example."""

    def edit(folder: Path) -> None:
        path = folder / "input_example.json"
        document = json.loads(path.read_text())
        document["data"] = list(rows)
        document["columns"] = columns or document["columns"]
        path.write_text(json.dumps(document))

    return edit


def write(name: str, content: bytes) -> Edit:
    """An edit that replaces a file."""

    def edit(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return edit


def remove(name: str) -> Edit:
    """An edit that deletes a file."""
    return lambda folder: (folder / name).unlink()


def inflate(folder: Path) -> None:
    """Replace an array by zeros of `HUGE_BYTES`, which the archive compresses to a thousandth."""
    path = folder / MODEL_FILE
    content = members(path)
    replaced = next(name for name in content if name.endswith(".npy"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in content.items():
            if name != replaced:
                archive.writestr(name, data)
        with archive.open(replaced, "w", force_zip64=True) as file:
            file.write(header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({HUGE_BYTES // 8},), }}"))
            block = bytes(16 * 1024**2)
            for _ in range(HUGE_BYTES // len(block)):
                file.write(block)


def extend(folder: Path) -> None:
    """Extend the skops file to `SPARSE_BYTES` by zeros, which take no space on the disk."""
    os.truncate(folder / MODEL_FILE, SPARSE_BYTES)


def outside(folder: Path) -> None:
    """Let the metadata name a valid file outside of the model's folder."""
    target = folder.parent / "outside.skops"
    shutil.copy(folder / MODEL_FILE, target)
    set_metadata(str(target.resolve()), "flavors", "sklearn", "pickled_model")(folder)


def mutate(folder: Path, choices: random.Random) -> str:
    """Change a few bytes of one file, or of one member of the skops file, and return a description."""
    name = choices.choice([MODEL_FILE, MODEL_FILE, MODEL_FILE, "member", "member", "member", "MLmodel", "example"])
    if name == "member":
        content = members(folder / MODEL_FILE)
        name = choices.choice(sorted(content))
        content[name] = _mutated(content[name], choices)
        write_members(folder / MODEL_FILE, content)
        return f"member {name}"
    path = folder / {"example": "input_example.json"}.get(name, name)
    path.write_bytes(_mutated(path.read_bytes(), choices))
    return path.name


def _mutated(content: bytes, choices: random.Random) -> bytes:
    data = bytearray(content)
    match choices.choice(["flip", "flip", "flip", "cut", "repeat", "insert"]):
        case "flip":
            for _ in range(choices.randint(1, 8)):
                data[choices.randrange(len(data))] = choices.randrange(256)
        case "cut":
            del data[choices.randrange(len(data)) :]
        case "repeat":
            start = choices.randrange(len(data))
            data[start:start] = data[start : start + choices.randint(1, 200)]
        case _:
            start = choices.randrange(len(data))
            data[start:start] = choices.randbytes(choices.randint(1, 20))
    return bytes(data)

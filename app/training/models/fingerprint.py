"""The fingerprint of a fitted model: a hash over every value that the fit computed."""

import hashlib
from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor

FORESTS: Final = (RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor)

DURATIONS: Final = ("_time", "_time_")
"""Endings of the names of durations, such as `refit_time_` of a grid search. Durations differ in each fit."""

SCALARS: Final = (str, bytes, bool, int, float, complex, type(None))


def model_fingerprint(model: BaseEstimator) -> str:
    """Return the SHA-256, in hex, over the parts of a model: equal only for models that are equal bit for bit.

    For a forest these are the classes and every node of every tree in order, for any other model all its attributes.
    """
    if type(model) in FORESTS:
        return _forest_fingerprint(model)
    digest = hashlib.sha256()
    for part in _parts(model, {}):
        digest.update(part)
        digest.update(b"\x1f")
    return digest.hexdigest()


def _forest_fingerprint(forest: BaseEstimator) -> str:
    classes = getattr(forest, "classes_", np.array([]))
    digest = hashlib.sha256(repr(classes.tolist()).encode())
    for tree in forest.estimators_:
        nodes = tree.tree_.__getstate__()["nodes"]
        for field in sorted(set(nodes.dtype.names) - {"impurity"}):
            digest.update(np.ascontiguousarray(nodes[field]).tobytes())
        digest.update(np.ascontiguousarray(tree.tree_.value).tobytes())
    return digest.hexdigest()


def _parts(value: object, seen: dict[int, object]) -> Iterator[bytes]:
    """Yield the content of an object as bytes, without addresses, and each object once."""
    if isinstance(value, SCALARS):
        yield f"{type(value).__name__}:{value!r}".encode()
        return
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        yield f"{getattr(value, '__module__', '')}.{value.__qualname__}".encode()
        return
    if isinstance(value, np.ndarray | np.generic):
        yield from _array_parts(np.asarray(value), seen)
        return
    if id(value) in seen:
        yield b"seen"
        return
    seen[id(value)] = value  # kept, so that no other object gets the same address
    yield f"{type(value).__module__}.{type(value).__qualname__}".encode()
    if isinstance(value, set | frozenset):
        yield from sorted(b"\x1f".join(_parts(member, dict(seen))) for member in value)
    elif isinstance(value, pd.DataFrame | pd.Series | pd.Index):
        yield pd.util.hash_pandas_object(value).to_numpy().tobytes()
    else:
        for member in _members(value):
            yield from _parts(member, seen)


def _members(value: object) -> Iterator[object]:
    """Yield what an object holds, without durations."""
    if isinstance(value, list | tuple):
        yield from value
        return
    # The order of attributes says nothing: a forest in slices gets its trees before its other attributes.
    named = value.items() if isinstance(value, dict) else sorted(_state(value).items())
    for key, member in named:
        if not (isinstance(key, str) and key.endswith(DURATIONS)):
            yield key
            yield member


def _array_parts(array: np.ndarray, seen: dict[int, object]) -> Iterator[bytes]:
    yield f"array {array.shape}".encode()
    if array.dtype.names is not None:
        for field in array.dtype.names:  # the bytes between the fields are not initialized
            yield from _array_parts(array[field], seen)
    elif array.dtype.hasobject:
        for member in array.ravel().tolist():
            yield from _parts(member, seen)
    else:
        yield array.dtype.str.encode()
        yield np.ascontiguousarray(array).tobytes()


def _state(value: object) -> dict[str, object]:
    """Return the attributes of an object, or what pickle would store."""
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict) and not hasattr(type(value), "__slots__"):
        return attributes
    return {str(index): part for index, part in enumerate(value.__reduce_ex__(4)[1:3])}

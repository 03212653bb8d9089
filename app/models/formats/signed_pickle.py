"""Models with a user's own classes: pickled, and signed with the key of this platform.

Reading a pickle runs code from the file. A stack with `allowPickle: true` therefore reads only pickles that its own
training signed: the key is on its Ray pods alone. Without the key, no pickle is written or read.
"""

import hashlib
import hmac
import pickle
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import cloudpickle
import mlflow
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.models.utils import _save_example
from sklearn.base import BaseEstimator

from app.errors import ModelRefusedError
from app.models.fitted_release import check_fitted_release, installed_minor
from app.models.formats.stored_model import SIGNED_PICKLE, Storage
from app.settings import settings

FLAVOR: Final = "manta_signed_pickle"
"""Key of the MLflow flavors."""

FILE: Final = "model.pkl"

NAME, RUN, SIGNATURE, PYTHON, SCIKIT_LEARN = "registered_name", "run_id", "signature", "python_minor", "scikit_learn"
"""Details: the registered model and the run that the file was signed for, the signature, and the versions."""

SIGNED: Final = (NAME, RUN, PYTHON, SCIKIT_LEARN)
"""Details that the signature covers, with the content of the file."""

RETRAIN_HERE: Final = "Train the model again on this stack: manta train."

ALLOW: Final = "pulumi config set allowPickle true, or manta local --allow-pickle on one machine"
"""How a user switches signed pickles on."""


def is_allowed() -> bool:
    """Whether this platform writes and reads signed pickles."""
    return settings().model_key is not None


def log(model: BaseEstimator, *, registered_name: str, **options: Any) -> str:  # noqa: ANN401 - MLflow's options
    """Pickle a model, sign it, and log it in the active run; return its URI.

    The classes and functions of the user's own modules are stored in the file, so that serving needs no such module.

    Args:
        model: The fitted model.
        registered_name: The registered model under which the model may serve.
        options: `name`, `signature`, `input_example`, `metadata` and `pip_requirements`, as for MLflow's own flavors.

    Raises:
        RuntimeError: No run is active, or signed pickles are not allowed here.
    """
    run = mlflow.active_run()
    if run is None:
        raise RuntimeError("a signed pickle needs an active run")
    flavor = sign(model, registered_name=registered_name, run_id=run.info.run_id)
    return str(Model.log(artifact_path=None, flavor=flavor, **options).model_uri)


def sign(model: BaseEstimator, *, registered_name: str, run_id: str) -> "SignedPickle":
    """Pickle a model, and sign the pickle.

    Args:
        model: The fitted model.
        registered_name: See `log`.
        run_id: The run that fitted the model.

    Raises:
        RuntimeError: Signed pickles are not allowed here.
    """
    content = _dump(model)
    details = {NAME: registered_name, RUN: run_id, PYTHON: _python_minor(), SCIKIT_LEARN: installed_minor()}
    return SignedPickle(content, details | {SIGNATURE: _sign(content, details)})


def file_name(flavor: Mapping[str, Any]) -> tuple[str, Storage]:
    """Return the name of the model's file and its storage, from the flavor that `log` writes."""
    details = {key: str(flavor.get(key, "")) for key in (*SIGNED, SIGNATURE)}
    return FILE, Storage(format=SIGNED_PICKLE, details=details)


def load(path: Path, details: Mapping[str, str], label: str) -> BaseEstimator:
    """Verify the signature of a file, and unpickle it.

    Args:
        path: The file.
        details: See `file_name`.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: Signed pickles are not allowed here, the signature is not that of this platform, or another
            minor version of Python or scikit-learn wrote the file.
    """
    if not is_allowed():
        raise ModelRefusedError(
            f"{label} is stored as a pickle, which runs code when it is loaded.",
            allowed="skops, XGBoost, LightGBM and ONNX; pickles only if the stack allows those that it signed itself",
            next_step=f"Allow them ({ALLOW}) and train the model again, or use transformers of scikit-learn.",
        )
    content = path.read_bytes()
    if not hmac.compare_digest(_sign(content, details), details[SIGNATURE]):
        raise ModelRefusedError(
            f"{label} is a pickle that this platform did not sign, or that was changed afterwards.",
            allowed="pickles that the training of this platform registered, with its present key",
            next_step=RETRAIN_HERE,
        )
    if details[PYTHON] != _python_minor():
        raise ModelRefusedError(
            f"{label} was pickled by Python {details[PYTHON]}, but this is Python {_python_minor()}.",
            next_step=RETRAIN_HERE,
        )
    check_fitted_release(details[SCIKIT_LEARN], label=label)
    model: BaseEstimator = pickle.loads(content)  # noqa: S301 - this platform signed the content
    return model


def check_name(storage: Storage, name: str, *, label: str) -> None:
    """Refuse a signed pickle that was registered under another name than that for which it was signed.

    Args:
        storage: How a model is stored.
        name: The registered model to which the version belongs.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: The names differ.
    """
    signed_for = storage.details.get(NAME, "")
    if storage.format == SIGNED_PICKLE and signed_for != name:
        raise ModelRefusedError(
            f"{label} is a pickle that was signed for the registered model {signed_for!r}.", next_step=RETRAIN_HERE
        )


class SignedPickle:
    """What MLflow calls to write the files of a model.

    Args:
        content: The pickle.
        details: See `file_name`.
    """

    def __init__(self, content: bytes, details: Mapping[str, str]) -> None:
        self._content = content
        self._details = details

    def save_model(
        self,
        path: str,
        mlflow_model: Model,
        signature: ModelSignature,
        input_example: pd.DataFrame,
        pip_requirements: list[str],
    ) -> None:
        """Write the files into a folder. MLflow gives the arguments."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_bytes(self._content)
        (folder / "requirements.txt").write_text("\n".join(pip_requirements))
        mlflow_model.signature = signature
        _save_example(mlflow_model, input_example, path)
        mlflow_model.add_flavor(FLAVOR, **self._details)
        mlflow_model.save(str(folder / "MLmodel"))


def _sign(content: bytes, details: Mapping[str, str]) -> str:
    key = settings().model_key
    if key is None:
        raise RuntimeError("MANTA_MODEL_KEY is not set")
    header = "\0".join([SIGNED_PICKLE, *(details[name] for name in SIGNED), ""]).encode()
    return hmac.new(key.get_secret_value().encode(), header + content, hashlib.sha256).hexdigest()


def _dump(model: BaseEstimator) -> bytes:
    with _stored_by_value(_own_modules()):
        content: bytes = cloudpickle.dumps(model)
    return content


@contextmanager
def _stored_by_value(modules: list[ModuleType]) -> Iterator[None]:
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _own_modules() -> list[ModuleType]:
    """Return the imported modules that no package installed: those of the user."""
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")}
    modules = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is None or name.partition(".")[0] in {"app", "__main__"}:
            continue
        path = Path(file).resolve()
        if not any(path.is_relative_to(folder) for folder in installed):
            modules.append(module)
    return modules


def _python_minor() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"

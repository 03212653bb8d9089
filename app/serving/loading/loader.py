"""Makes a model version ready to serve, and keeps a copy of it on this node.

A child process downloads and checks the version; see `app.serving.loading.child`. `app.serving.fleet` decides when a
version is loaded, and where a copy is taken from.
"""

import asyncio
import fcntl
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from mlflow.entities.model_registry import ModelVersion
from pydantic import ValidationError

from app import names
from app.errors import MantaError, ModelRefusedError
from app.serving.loading import child, files, limits, packing, reader
from app.serving.loading.child import LoadRequest, Outcome
from app.serving.loading.process import ForkServerEndedError, ForkServerProcess
from app.serving.loading.served_model import FilesLocation, PackedModel, PreparedFiles, ServedModel
from app.serving.loading.store import ModelStore

log = logging.getLogger(names.SERVING_LOG)

LOAD_TIMEOUT_S: Final = 120.0
"""Default limit for the download, the checks and the compilation of a version on one replica."""

READ_LOG_BYTES: Final = 65536
"""Bytes of a child's output that are read: the last ones."""

MAX_LOG_LINE: Final = 300
MAX_LOG: Final = 4000
"""Characters of each line and of the whole output of a child that are copied to the log of the replica."""


class _NoCopyError(Exception):
    """This node has no copy of a version."""


class ModelLoader:
    """Prepares model versions for one replica.

    The loader starts a process at once, so that the first load does not wait for its imports.

    Args:
        mlflow_uri: URL of MLflow. MLflow's client reads user and password from the environment.
        model_cache: Folder on this node for the copy of the version that served last.
        timeout_s: Limit for one call of `prepare`, `last_kept` or `unpack`.
    """

    def __init__(self, *, mlflow_uri: str, model_cache: Path, timeout_s: float = LOAD_TIMEOUT_S) -> None:
        self._mlflow_uri = mlflow_uri
        self._store = ModelStore(model_cache, mlflow_uri=mlflow_uri)
        self.timeout_s = timeout_s
        self._folder = Path(tempfile.mkdtemp(prefix=child.FOLDER_PREFIX))
        self._lock = os.open(self._folder, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        self._processes = ForkServerProcess(self._folder)

    async def prepare(
        self, version: ModelVersion, location: FilesLocation | None = None, *, is_mapped: bool = False
    ) -> ServedModel:
        """Download, check and compile a version, unless another replica on this node has done it.

        Args:
            version: The version.
            location: Where another replica holds the version's files after the checks, perhaps on another node.
            is_mapped: See `app.serving.loading.arrays.read_array`.

        Raises:
            ModelRefusedError: The version cannot serve here. The message says why.
            ModelNotFoundError: The files of the version were deleted.
            RegistryUnavailableError: MLflow or its artifact store does not answer.
        """
        request = LoadRequest.for_version(version, mlflow_uri=self._mlflow_uri)

        async def provide(folder: Path) -> Outcome:
            if location is not None and await asyncio.to_thread(_link, location, folder, request.label):
                return await self._try(folder, location.digest, request.label)
            return await self._run_child(folder, request)

        return await self._load(provide, version, label=request.label, is_mapped=is_mapped)

    async def keep(self, model: ServedModel) -> None:
        """Keep a copy of a version on this node, and delete the copy of any other version.

        A failure is logged.
        """
        if model.files is None:
            return
        try:
            await asyncio.to_thread(self._store.keep, model.files.folder, model.files.digest)
        except OSError as error:
            log.warning("%s is not kept on this node: %s", _label(model.version), error)

    async def last_kept(self) -> ServedModel | None:
        """Prepare the copy on this node; None if there is no copy or if it cannot serve, which is logged."""

        async def fetch(folder: Path) -> Outcome:
            digest = await asyncio.to_thread(self._store.fetch, folder / child.PREPARED)
            if digest is None:
                raise _NoCopyError
            return await self._try(folder, digest, label)

        label = "the copy on this node"
        try:
            return await self._load(fetch, None, label=label)
        except _NoCopyError:
            return None
        except ModelRefusedError as error:
            log.warning("The copy on this node is deleted, because it cannot serve: %s", error)
        try:
            await asyncio.to_thread(self._store.delete)
        except OSError as error:
            log.warning("The copy on this node cannot be deleted: %s", error)
        return None

    async def pack(self, model: ServedModel) -> PackedModel:
        """Pack a version for another replica.

        Raises:
            ModelRefusedError: The version has no files, or they are too large for a message.
        """
        label = _label(model.version)
        if model.files is None:
            raise ModelRefusedError(f"{label} has no files to send.")
        content = await asyncio.to_thread(packing.pack, model.files.folder, label=label)
        return PackedModel(version=model.version, digest=model.files.digest, content=content)

    async def unpack(self, packed: PackedModel, *, is_mapped: bool = False) -> ServedModel:
        """Prepare a version that another replica has packed.

        Raises:
            ModelRefusedError: The content differs from its digest, or the version cannot serve here.
        """

        async def write(folder: Path) -> Outcome:
            await asyncio.to_thread(packing.unpack, packed.content, folder / child.PREPARED)
            return await self._try(folder, packed.digest, label)

        label = _label(packed.version)
        return await self._load(write, packed.version, label=label, is_mapped=is_mapped)

    async def close(self) -> None:
        """End the processes of this loader, and delete the files of its models."""
        await self._processes.close()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        os.close(self._lock)

    async def _load(
        self,
        provide: Callable[[Path], Awaitable[Outcome]],
        version: ModelVersion | None,
        *,
        label: str,
        is_mapped: bool = False,
    ) -> ServedModel:
        """Read a model whose prepared files `provide` writes into the folder of the load.

        Args:
            provide: Writes the files, and returns the digest that they must have.
            version: The version; None if only the files say which one it is.
            label: Name of the version in error messages.
            is_mapped: See `app.serving.loading.arrays.read_array`.
        """
        start_s = time.perf_counter()
        folder = Path(tempfile.mkdtemp(prefix="load-", dir=self._folder))
        try:
            async with asyncio.timeout(self.timeout_s):
                outcome = await provide(folder)
                model = await asyncio.to_thread(_read, folder, outcome, version, label, start_s, is_mapped=is_mapped)
        except TimeoutError as error:
            raise ModelRefusedError(
                f"{label} was not ready after {self.timeout_s:g} s.",
                next_step="See this replica's log, and check that MLflow's artifact store answers.",
            ) from error
        except (MantaError, _NoCopyError):
            raise
        except Exception as error:  # damaged files may cause any exception, and each one refuses the version
            raise child.unexpected(error, label=label) from error
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        log.info("%s is ready after %.0f ms", _label(model.version), model.loaded_in_ms)
        if model.self_test != "passed":
            log.warning("%s was not compared with recorded predictions: %s", _label(model.version), model.self_test)
        return model

    async def _try(self, folder: Path, digest: str, label: str) -> Outcome:
        """Let a child try an estimator before this replica reads it. Trees are only read as arrays."""
        manifest = await asyncio.to_thread(reader.read_manifest, folder / child.PREPARED, digest, label=label)
        if manifest.trees is None:
            version = manifest.model_version()
            request = LoadRequest.for_version(version, mlflow_uri=self._mlflow_uri, is_prepared=True)
            return Outcome(digest=digest, memory_bytes=(await self._run_child(folder, request)).memory_bytes)
        return Outcome(digest=digest)

    async def _run_child(self, folder: Path, request: LoadRequest) -> Outcome:
        """Run a child for a load, and return its outcome, which is no error."""
        try:
            (folder / child.REQUEST).write_text(request.model_dump_json())
            status = await self._processes.run(folder)
            if status != 0:
                raise _refuse_death(status, request.label)
            outcome = Outcome.model_validate_json((folder / child.OUTCOME).read_bytes())
        except ForkServerEndedError as error:
            raise ModelRefusedError(
                f"The process that loads models ended while it loaded {request.label}.",
                next_step="See this replica's log. The node may have too little memory.",
            ) from error
        except (OSError, ValidationError) as error:
            raise child.unexpected(error, label=request.label) from error
        finally:
            _log_output(folder, request.label)
        outcome.raise_error()
        return outcome


def _read(
    folder: Path, outcome: Outcome, version: ModelVersion | None, label: str, start_s: float, *, is_mapped: bool
) -> ServedModel:
    """Read the prepared files into this process, and move them out of the folder of the load."""
    manifest, predictor = reader.read(folder / child.PREPARED, outcome.digest, label=label, is_mapped=is_mapped)
    stored_version = manifest.model_version()
    if version is not None and (version.name, str(version.version)) != (stored_version.name, stored_version.version):
        raise ModelRefusedError(f"The files are of {_label(stored_version)} instead of {label}.")
    kept = (folder / child.PREPARED).rename(folder.with_name(f"model-{folder.name}"))
    files_bytes = sum(path.stat().st_size for path in kept.iterdir())
    return ServedModel(
        version=version or stored_version,
        predictor=predictor,
        example=manifest.example(),
        self_test=manifest.self_test,
        loaded_in_ms=round((time.perf_counter() - start_s) * 1000, 1),
        files=PreparedFiles(folder=kept, digest=outcome.digest),
        # The files of trees are their arrays. Any other model takes more memory than its file, or less.
        size_bytes=files_bytes if predictor.flat is not None else max(files_bytes, outcome.memory_bytes),
    )


def _link(location: FilesLocation, folder: Path, label: str) -> bool:
    """Put files that another replica has prepared into the folder of a load; False if they are not on this node.

    Raises:
        ModelRefusedError: The memory is too small for them.
    """
    prepared = folder / child.PREPARED
    try:
        files.link(location.folder, prepared)
    except OSError:
        shutil.rmtree(prepared, ignore_errors=True)
        return False
    limits.check_size(sum(path.stat().st_size for path in prepared.iterdir()), folder, label=label)
    return True


def _label(version: ModelVersion) -> str:
    return f"{version.name} version {version.version}"


def _refuse_death(status: int, label: str) -> ModelRefusedError:
    if status < 0:
        reason = f"was killed by {signal.Signals(-status).name}"
        next_step = (
            "The node has too little memory: give the workers more, or train a smaller model."
            if -status == signal.SIGKILL
            else "Load another version, or train the model again."
        )
    else:
        reason, next_step = f"ended with exit status {status}", "See this replica's log."
    return ModelRefusedError(f"The process that loaded {label} {reason}.", next_step=next_step)


def _log_output(folder: Path, label: str) -> None:
    """Copy the end of a child's output to the log of this replica."""
    try:
        with (folder / child.LOG).open("rb") as file:
            file.seek(max(0, (folder / child.LOG).stat().st_size - READ_LOG_BYTES))
            lines = file.read(READ_LOG_BYTES).decode(errors="replace").splitlines()
    except OSError:  # the child ended before it could write
        return
    if lines:
        output = "\n".join(line[:MAX_LOG_LINE] for line in lines)[-MAX_LOG:]
        log.warning("The process that loaded %s wrote:\n%s", label, output)

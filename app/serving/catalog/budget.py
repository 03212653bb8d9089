"""The memory of the models that one replica holds beside the default model."""

import weakref
from collections.abc import Callable
from typing import Final

from app.errors import ModelRefusedError, OverloadedError
from app.serving.loading.served_model import ServedModel

MIB: Final = 2**20


class MemoryBudget:
    """Keeps the models of a replica within a number of bytes.

    A model counts until its memory is free: a model that was put out counts while requests still use it.

    Args:
        limit_bytes: Bytes of all models together.
        put_out: Puts out the model that was used least recently; False if there is none to put out.
    """

    def __init__(self, limit_bytes: int, put_out: Callable[[], bool]) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        """Bytes of the models that are in memory."""
        self._put_out = put_out

    def admit(self, model: ServedModel, *, replaced_bytes: int = 0) -> None:
        """Make room for a model, and count it until its memory is free.

        Args:
            model: The model.
            replaced_bytes: Bytes of the version that the model is about to replace. They do not count if the two
                versions do not fit together.

        Raises:
            ModelRefusedError: The model is larger than all models together may be.
            OverloadedError: Too many models are in use at this moment.
        """
        label, size = f"{model.version.name} version {model.version.version}", model.size_bytes
        if size > self.limit_bytes:
            raise ModelRefusedError(
                f"{label} needs {size / MIB:,.1f} MiB of memory, but this replica has "
                f"{self.limit_bytes / MIB:,.1f} MiB for all models beside the default model.",
                next_step="Raise modelsMemory of the stack (MANTA_MODELS_MEMORY), or make it the default model.",
            )
        while self.held_bytes + size > self.limit_bytes and self._put_out():
            pass
        if self.held_bytes - replaced_bytes + size > self.limit_bytes:
            raise OverloadedError(
                f"{label} needs {size / MIB:,.1f} MiB of memory, but other models of this replica are in use.",
                allowed=f"{self.limit_bytes / MIB:,.1f} MiB for all models beside the default model",
                next_step="Send the request again after the time in the header Retry-After.",
            )
        self.held_bytes += size
        weakref.finalize(model, self._release, size)

    def _release(self, size: int) -> None:
        self.held_bytes -= size

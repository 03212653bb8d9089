"""How the service of the local platform writes its log."""

from enum import StrEnum
from pathlib import Path
from typing import Final

JSON_LOG: Final = "service.jsonl"
"""File of the service's log as JSON lines, in the folder of the logs."""


class LogFormat(StrEnum):
    """A format of the log."""

    TEXT = "text"
    JSON = "json"

    def environment(self, logs: Path) -> dict[str, str]:
        """Environment variables of the service.

        Args:
            logs: Folder of the logs.
        """
        return {"MANTA_JSON_LOG": str(logs.resolve() / JSON_LOG)} if self is LogFormat.JSON else {}

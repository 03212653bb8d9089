"""The type of the JSON documents that the commands exchange with other programs and with HTTP APIs."""

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object. Another program defines its keys, so the types of its values are unknown here."""

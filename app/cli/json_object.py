"""The type of the JSON documents that the commands read from other programs and from HTTP APIs."""

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""A parsed JSON object. Another program writes the document, so the types of its values are unknown."""

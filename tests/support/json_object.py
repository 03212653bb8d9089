"""The type of the JSON and YAML documents that the tests read and write."""

from typing import Any

JsonObject = dict[str, Any]
"""A parsed object of JSON or YAML. The type of a value depends on its key, and tests read it without checks."""

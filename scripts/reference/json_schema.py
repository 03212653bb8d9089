"""Tables of the fields of a JSON schema, in words."""

from collections.abc import Mapping
from typing import Any, Final

from scripts.reference.markdown import code, interval, table

Schema = Mapping[str, Any]
"""A JSON schema, or a part of an OpenAPI document. The type of a value depends on its key."""

WORDS: Final = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
    "object": "object",
}
"""Name of each JSON type in the pages."""


def fields(schema: Schema, *, presence: str = "Always") -> str:
    """Return the table of an object's fields.

    Args:
        schema: JSON schema of the object.
        presence: Title of the column that says whether a field is required.
    """
    required = schema.get("required", ())
    rows = [
        (code(name), kind(field), "yes" if name in required else "no", _constraint(field), field.get("description", ""))
        for name, field in schema["properties"].items()
    ]
    return table(("Field", "Type", presence, "Allowed", "Meaning"), rows)


def kind(schema: Schema) -> str:
    """Return the type of a value in words, with a link if the page describes the type elsewhere."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind(choice) for choice in schema["anyOf"]))
    if schema.get("type") == "array":
        return (
            f"list of ({kind(schema['items'])})" if "anyOf" in schema["items"] else f"list of {kind(schema['items'])}"
        )
    if schema.get("format") == "date-time":
        return "string, time of ISO 8601"
    if "enum" in schema:
        return ", ".join(code(choice) for choice in schema["enum"])
    return WORDS[schema["type"]] if "type" in schema else "any"


def _constraint(schema: Schema) -> str:
    """Return the patterns, lengths and limits of a value and of its alternatives."""
    words = [_constraint(choice) for choice in schema.get("anyOf", ())]
    if "pattern" in schema:
        words.append(f"matches {code(schema['pattern'])}")
    if "minLength" in schema or "maxLength" in schema:
        words.append(interval(schema.get("minLength"), schema.get("maxLength")) + " characters")
    if schema.get("type") == "array" and ("minItems" in schema or "maxItems" in schema):
        words.append(interval(schema.get("minItems"), schema.get("maxItems")) + " items")
    return "; ".join(filter(None, words))

"""Which pydantic schemas can be written as JSON by pydantic itself, with nothing for us to look at.

Not those that may hold a secret (which pydantic masks), that may nest without an end, or that bring a serializer of
their own: values of these are taken apart one by one in payloads.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_LEAVES = frozenset(
    {"str", "int", "bool", "none", "float", "decimal", "date", "time", "datetime", "uuid", "enum", "literal"}
)
_AROUND = frozenset({"nullable", "default", "model", "function-before", "function-after"})


def plain_leaves(schema: Mapping[str, Any]) -> frozenset[str] | None:
    """The kinds of leaves of a core schema; None where its values may not go straight to JSON."""
    kind = schema["type"]
    if "serialization" in schema or schema.get("config", {}).get("extra_fields_behavior") == "allow":
        return None
    if kind in _LEAVES:
        return frozenset({kind})
    if kind in _AROUND and not schema.get("root_model"):
        return plain_leaves(schema["schema"])
    if kind == "list" and "items_schema" in schema:
        return plain_leaves(schema["items_schema"])
    if kind == "dict" and "values_schema" in schema and schema.get("keys_schema", {}).get("type") == "str":
        return plain_leaves(schema["values_schema"])
    if kind == "model-fields" and not schema.get("computed_fields") and schema.get("extra_behavior") != "allow":
        return _together(schema["fields"].values())
    return None


def flat_fields(schema: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The fields of a plain model in which each is one value of one type, or None; None for any other schema."""
    inner = _inside(schema)
    if inner["type"] != "model-fields" or plain_leaves(schema) is None:
        return None
    fields: Mapping[str, Mapping[str, Any]] = inner["fields"]
    # Whether a literal may be written depends on its value.
    flat = all(_inside(field["schema"])["type"] in _LEAVES - {"literal"} for field in fields.values())
    return tuple(fields) if flat else None


def _inside(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while schema["type"] in _AROUND:
        schema = schema["schema"]
    return schema


def _together(fields: Iterable[Mapping[str, Any]]) -> frozenset[str] | None:
    leaves: frozenset[str] = frozenset()
    for field in fields:
        found = None if field.get("serialization_exclude") else plain_leaves(field["schema"])
        if found is None:
            return None
        leaves |= found
    return leaves

"""Convert the ``functions`` of a bank row to the OpenAI tools that a router expects.

BFCL rows have bare function descriptions whose schemas use ``dict``, ``float``, ``tuple`` and ``any``, where JSON
Schema has ``object``, ``number``, ``array`` and no type. Routers see them normalised; exports leave them unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_TYPES = {"dict": "object", "float": "number", "tuple": "array", "list": "array", "int": "integer", "bool": "boolean"}


def as_openai_tools(functions: Sequence[Mapping[str, Any]] | None) -> tuple[dict[str, Any], ...]:
    """Return each function as ``{"type": "function", "function": {…}}`` with a JSON Schema; wrapped ones stay as they
    are.
    """
    return tuple(_tool(function) for function in functions or ())


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(function.get("function"), Mapping):
        return dict(function)
    description = dict(function)
    if isinstance(description.get("parameters"), Mapping):
        description["parameters"] = _schema(description["parameters"])
    return {"type": "function", "function": description}


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    normalised = dict(schema)
    kind = normalised.get("type")
    if kind == "any":
        del normalised["type"]
    elif isinstance(kind, str):
        normalised["type"] = _TYPES.get(kind.lower(), kind.lower())
    properties = normalised.get("properties")
    if isinstance(properties, Mapping):
        normalised["properties"] = {
            name: _schema(value) if isinstance(value, Mapping) else value for name, value in properties.items()
        }
    if isinstance(normalised.get("items"), Mapping):
        normalised["items"] = _schema(normalised["items"])
    return normalised

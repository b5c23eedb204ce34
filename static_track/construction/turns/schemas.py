"""JSON schemas in tasks: validated when they are read, and used to validate answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator


def schema_complaint(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a value; None if it fits the schema.

    References to other documents are never fetched; they are errors in the schema.
    """
    from jsonschema import Draft202012Validator
    from referencing import Registry

    validator = Draft202012Validator(schema, registry=Registry())
    error = next(iter(validator.iter_errors(value)), None)
    if error is None:
        return None
    place = "".join(f"[{part!r}]" for part in error.absolute_path)
    return f"{f'{place}: ' if place else ''}{error.message[:200]}"


def _checked(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"is not a JSON schema: {error.message[:200]}") from None
    if (reference := _foreign_reference(schema)) is not None:
        raise ValueError(f"refers to {reference!r:.80}; a schema may only refer to parts of itself (#/…)")
    return schema


def _foreign_reference(value: Any) -> str | None:
    """Return the first reference that leads out of a schema."""
    if isinstance(value, Mapping):
        reference = value.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            return reference
        value = list(value.values())
    if isinstance(value, list):
        return next((found for each in value if (found := _foreign_reference(each)) is not None), None)
    return None


Schema = Annotated[dict[str, Any], AfterValidator(_checked)]
"""A self-contained JSON schema (draft 2020-12)."""

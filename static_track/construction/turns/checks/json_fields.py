"""A check of a JSON answer: its schema, and the values of its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from static_track.construction.turns.comparing import answered_json, is_accepted, shown_value
from static_track.construction.turns.evaluating import PASSED, Answer, Check, Evaluation, Tools, failed
from static_track.construction.turns.schemas import Schema, schema_complaint


class JsonFields(Check):
    """The answer is a JSON object that fits a schema, and named fields have the expected values."""

    json_schema: Schema = {}  # noqa: RUF012 - pydantic copies it
    """JSON schema of the object; default: anything is allowed."""
    fields: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it
    """The expected value of each named field; other fields may have any value."""
    accept: dict[str, list[Any]] = {}  # noqa: RUF012 - pydantic copies it
    """Further accepted values by field."""

    def evaluate(self, answers: Sequence[Answer], _tools: Tools) -> Evaluation:
        """Compare the object's fields."""
        try:
            said = answered_json(answers[-1].text)
        except ValueError as error:
            return failed(str(error))
        if not isinstance(said, Mapping):
            return failed("the answer is not a JSON object")
        if (complaint := schema_complaint(said, self.json_schema)) is not None:
            return failed(f"the answer does not fit its schema: {complaint}")
        for name, expected in self.fields.items():
            if name not in said:
                return failed(f"the answer has no field {name!r}")
            if not is_accepted(said[name], expected, self.accept.get(name, ())):
                return failed(f"field {name!r} is {shown_value(said[name])}, not {shown_value(expected)}")
        return PASSED

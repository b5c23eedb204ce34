"""A check of an answer that is to be JSON: its shape, and the values that it must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from static_track.construction.turns.comparing import answered_json, is_accepted, shown_value
from static_track.construction.turns.evaluating import PASSED, Answer, Check, Evaluation, Tools, failed
from static_track.construction.turns.schemas import Schema, schema_complaint


class JsonFields(Check):
    """The answer is a JSON object as a schema says, and the fields that are named have the expected values."""

    json_schema: Schema = {}  # noqa: RUF012 - pydantic copies it
    """What else the object may hold; default: anything."""
    fields: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies it
    """The expected value of each field, by its name; fields that are not named may hold anything."""
    accept: dict[str, list[Any]] = {}  # noqa: RUF012 - pydantic copies it
    """Further values of a field that are as good."""

    def evaluate(self, answers: Sequence[Answer], _tools: Tools) -> Evaluation:
        """Compare the object."""
        try:
            said = answered_json(answers[-1].text)
        except ValueError as error:
            return failed(str(error))
        if not isinstance(said, Mapping):
            return failed("the answer is no JSON object")
        if (complaint := schema_complaint(said, self.json_schema)) is not None:
            return failed(f"the answer is not as its schema says: {complaint}")
        for name, expected in self.fields.items():
            if name not in said:
                return failed(f"the answer has no field {name!r}")
            if not is_accepted(said[name], expected, self.accept.get(name, ())):
                return failed(f"field {name!r} is {shown_value(said[name])}, not {shown_value(expected)}")
        return PASSED

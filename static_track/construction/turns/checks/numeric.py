"""A check of the number in an answer."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field, FiniteFloat

from static_track.construction.turns.comparing import answered_json
from static_track.construction.turns.evaluating import PASSED, Answer, Check, Evaluation, Tools, failed

_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3}){1,6}|\d{1,30})(?:\.\d{1,30})?(?![\w]|\.\d)")


class Numeric(Check):
    """The answer's number is the expected one, within a tolerance."""

    value: FiniteFloat
    tolerance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-9
    """Largest allowed absolute difference."""
    field: str | None = None
    """The field of the JSON answer with the number; None: the last number in the text."""

    def evaluate(self, answers: Sequence[Answer], _tools: Tools) -> Evaluation:
        """Compare the number."""
        found = self._number(answers[-1].text)
        if isinstance(found, str):
            return failed(found)
        if math.isfinite(found) and abs(found - self.value) <= self.tolerance:
            return PASSED
        return failed(f"the answer is {found:g}, not {self.value:g}")

    def _number(self, text: str) -> float | str:
        """Return the number, or what is wrong if there is none."""
        if self.field is None:
            found = _NUMBER.findall(text)
            return float(found[-1].replace(",", "")) if found else "the answer has no number"
        try:
            said = answered_json(text)
        except ValueError as error:
            return str(error)
        value = said.get(self.field) if isinstance(said, Mapping) else None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"the answer has no number {self.field!r}"
        return float(value)

"""A check of code: a test runs the answer's code in a container."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from static_track.construction.turns.comparing import answered_json, fenced
from static_track.construction.turns.evaluating import PASSED, Answer, Check, Evaluation, Tools, failed
from twinbench.fingerprint import sha256_text

MODULE = "answer"
"""The module name of the answer's code."""
_TEST = "check.py"
_SHOWN_CHARACTERS = 300


class Program(Check):
    """The code of an answer passes a test.

    The test is Python that imports ``answer``; it fails by raising. It prints a mark at its end, so that code that
    exits early with exit code 0 does not pass.
    """

    needs_containers: ClassVar[bool] = True
    test: str
    field: str | None = None
    """The field of the JSON answer with the code; None: the first fenced block, or else the whole text."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0

    def evaluate(self, answers: Sequence[Answer], tools: Tools) -> Evaluation:
        """Run the test."""
        code = self._code(answers[-1].text)
        if not code.strip():
            return failed("the answer has no code")
        return test_result(tools, {f"{MODULE}.py": code}, self.test, self.timeout_s)

    def _code(self, text: str) -> str:
        """Return the answer's code; empty if there is none."""
        if self.field is None:
            return fenced(text) or text
        try:
            said: Any = answered_json(text)
        except ValueError:
            return ""
        code = said.get(self.field) if isinstance(said, dict) else None
        return code if isinstance(code, str) else ""


def test_result(tools: Tools, files: dict[str, str], test: str, timeout_s: float) -> Evaluation:
    """Run a test against files; if it fails, the reason is the last line of its output."""
    mark = sha256_text("\0".join((test, *files, *files.values())))[:16]
    ran = tools.run_program(
        {**files, _TEST: f"{test}\nprint({mark!r})\n"}, f"python3 -B -s {_TEST} </dev/null", timeout_s
    )
    if ran.timed_out:
        return failed(f"the test took longer than {timeout_s:g} s")
    lines = ran.output.strip().splitlines()
    if ran.exit_code == 0 and lines and lines[-1] == mark:
        return PASSED
    return failed(lines[-1][:_SHOWN_CHARACTERS] if lines else "the test did not finish")

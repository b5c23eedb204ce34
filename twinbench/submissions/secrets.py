"""Secrets in what would be submitted: values of this machine's own variables, and texts in the shape of keys."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from twinbench.calls.packing import PACKED_PREFIX, unpack
from twinbench.calls.redaction import Secrets
from twinbench.errors import JournalError

_NAMED_LIKE_SECRETS = re.compile(r"(API|ACCESS|SECRET|PRIVATE|AUTH)_?(KEY|TOKEN)|TOKEN$|SECRET$|PASSW|CREDENTIAL", re.I)
_LEAST_VALUE = 12
"""Characters of a variable's value that is looked for; shorter ones are words, such as ``test``."""

_SHAPES: Mapping[str, re.Pattern[bytes]] = {
    "a private key": re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----"),
    "a key of Anthropic": re.compile(rb"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    "a key of OpenRouter": re.compile(rb"\bsk-or-v1-[0-9a-f]{32,}"),
    "a key of OpenAI": re.compile(rb"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,}"),
    "a key of Google": re.compile(rb"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a key of Groq": re.compile(rb"\bgsk_[A-Za-z0-9]{40,}"),
    "a token of Hugging Face": re.compile(rb"\bhf_[A-Za-z0-9]{30,}"),
    "a token of GitHub": re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})"),
    "a token of GitLab": re.compile(rb"\bglpat-[A-Za-z0-9_-]{20,}"),
    "a key of AWS": re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a token of Slack": re.compile(rb"\bxox[abprs]-[A-Za-z0-9-]{20,}"),
    "a token of npm": re.compile(rb"\bnpm_[A-Za-z0-9]{36}\b"),
    "a token of PyPI": re.compile(rb"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{40,}"),
    "a JSON web token": re.compile(rb"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}"),
    "a password in an address": re.compile(rb"\bhttps?://[^\s/:@\"'<>{}$]{1,60}:[^\s/:@\"'<>{}$]{6,}@[A-Za-z0-9]"),
}
"""Shapes of keys that providers give out, each with a beginning that nothing else has. Random texts without one are
left alone: journals are full of digests."""

_PACKED_TEXT = re.compile(rb'"(' + PACKED_PREFIX.encode() + rb'[A-Za-z0-9+/=]+)"')


@dataclass(frozen=True)
class SecretFound:
    """A place in a file that looks like a secret; the text itself is never kept."""

    file: str
    line: int
    what: str
    is_own: bool = False
    """Whether it is the value of a variable of this process, and so no coincidence."""

    @property
    def place(self) -> str:
        """File and line, as a submitter names it who looked at it."""
        return f"{self.file}:{self.line}"

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.what}"


def own_secrets(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of this process that are named like secrets, with their values."""
    found = os.environ if environment is None else environment
    return {
        name: value
        for name, value in found.items()
        if _NAMED_LIKE_SECRETS.search(name) and len(value.strip()) >= _LEAST_VALUE
    }


class SecretFinder:
    """Looks for secrets in files."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Look for the values of these variables, in every form in which they may occur, and for shapes of keys."""
        self._variables = {f"the value of {name}": Secrets([value]) for name, value in variables.items()}

    def find(self, file: str, data: bytes) -> Iterator[SecretFound]:
        """Yield what looks like a secret in a file; data that a journal packed is looked through as well."""
        for number, line in enumerate(data.split(b"\n"), 1):
            for what in dict.fromkeys(self._of_line(line)):
                yield SecretFound(file, number, what, is_own=what in self._variables)

    def _of_line(self, line: bytes) -> Iterator[str]:
        yield from self._of_text(line)
        for match in _PACKED_TEXT.finditer(line):
            try:
                yield from self._of_text(unpack(match[1].decode()))
            except JournalError:
                continue  # other checks find damage

    def _of_text(self, data: bytes) -> Iterator[str]:
        for what, secrets in self._variables.items():
            if secrets.redact_bytes(data) != data:
                yield what
        for what, shape in _SHAPES.items():
            if shape.search(data) is not None:
                yield what

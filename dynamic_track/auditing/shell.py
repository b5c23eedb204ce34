"""Splits an agent's command, as far as an audit needs it: which programs are run, which files are written, which parts
are code.

This is not a shell: it finds what is stated plainly. It does not find a command that is hidden (in variables, in
base64).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_HEREDOC = re.compile(r"<<-?[ \t]*(?P<quote>['\"\\]?)(?P<word>[A-Za-z_]\w*)['\"]?")
_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)|`([^`]*)`")
_OPERATORS = frozenset(";&|()\n")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_PREFIX_WORDS = frozenset(
    {"sudo", "time", "nohup", "exec", "command", "env", "then", "do", "else", "if", "while", "!", "{"}
)
_SHELLS = frozenset({"bash", "sh", "dash", "zsh"})
_MAX_DEPTH = 4
_MAX_QUOTED_CHARACTERS = 20_000
"""The longest text whose quotes are read: shlex takes quadratic time, so longer text is only split at spaces."""


@dataclass(frozen=True)
class SimpleCommand:
    """One simple command: its words and the files to which its output goes."""

    words: tuple[str, ...]
    targets: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        """The program that is run, without its folder; empty if there is none."""
        return self.words[0].rsplit("/", 1)[-1] if self.words else ""


@dataclass(frozen=True)
class ParsedCommand:
    """The parts of a command."""

    commands: tuple[SimpleCommand, ...]
    documents: tuple[str, ...]
    """The contents of here-documents."""


def parse_command(command: str) -> ParsedCommand:
    """Return the simple commands of a command line, including those in substitutions and in ``bash -c``."""
    outside, documents = _without_documents(command)
    return ParsedCommand(tuple(_parse_commands(outside, 0)), tuple(documents))


def _without_documents(command: str) -> tuple[str, list[str]]:
    lines = command.split("\n")
    outside: list[str] = []
    documents: list[str] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        outside.append(_HEREDOC.sub(" ", line))
        number += 1
        for match in _HEREDOC.finditer(line):
            ends = (index for index in range(number, len(lines)) if lines[index].strip("\t ") == match["word"])
            end = next(ends, len(lines))
            documents.append("\n".join(lines[number:end]))
            number = end + 1
    return "\n".join(outside), documents


def _parse_commands(text: str, depth: int) -> Iterator[SimpleCommand]:
    if depth > _MAX_DEPTH:
        return
    for inner in _SUBSTITUTION.finditer(text):
        yield from _parse_commands(inner[1] or inner[2] or "", depth + 1)
    words: list[str] = []
    for token in [*_tokens(text), ";"]:
        if token and set(token) <= _OPERATORS:
            yield from _parse_simple(words, depth)
            words = []
        else:
            words.append(token)


def _parse_simple(words: Sequence[str], depth: int) -> Iterator[SimpleCommand]:
    kept: list[str] = []
    targets: list[str] = []
    rest = iter(words)
    for word in rest:
        if set(word) <= set("<>") and word:
            target = next(rest, "")
            if ">" in word:
                targets.append(target)
                if kept and kept[-1] in ("1", "2"):
                    kept.pop()
        else:
            kept.append(word)
    while kept and (kept[0] in _PREFIX_WORDS or _ASSIGNMENT.match(kept[0])):
        kept.pop(0)
    if kept and kept[0] == "timeout":
        kept = kept[2:]
    if kept and kept[0] == "xargs":
        kept = [word for number, word in enumerate(kept[1:]) if number or not word.startswith("-")]
    if not kept and not targets:
        return
    ran = SimpleCommand(tuple(kept), tuple(targets))
    yield ran
    if ran.program in _SHELLS and "-c" in kept:
        at = kept.index("-c") + 1
        yield from _parse_commands(kept[at] if at < len(kept) else "", depth + 1)


def _tokens(text: str) -> list[str]:
    if len(text) > _MAX_QUOTED_CHARACTERS:
        return [part for part in re.split(r"([;&|()\n<>]+)|[ \t\r]+", text) if part]
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|()<>\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    found: list[str] = []
    try:
        for token in lexer:
            found += _split_operators(token)
    except ValueError:  # an unclosed quote
        return [part for part in re.split(r"([;&|()\n<>]+)|[ \t\r]+", text) if part]
    return found


def _split_operators(token: str) -> list[str]:
    """Split operators that are written together: redirections and control operators (POSIX)."""
    if not token or not set(token) <= _OPERATORS | set("<>"):
        return [token]
    return re.findall(r"[<>]+|[;&|()\n]+", token)

"""Runs what the documentation shows; as a script, brings the shown outputs up to date.

    python -m docs.refresh [PAGE…]

Conventions of README.md and docs/*.md:

``console`` block
    A line that starts with ``$ `` is a command, continued on lines that start with ``> ``. Bash runs it in a folder
    that looks like a clone of the repository; a page's commands share one folder with an empty store. The lines below
    are what it prints, standard output and standard error together. It has to exit with 0.
``python`` block
    Is run by itself in the same folder.
``text`` or ``json`` block right after a block that shows no output
    What the last command or the Python code prints. JSON is compared by content, not by layout, also where it is the
    whole output of a command in a ``console`` block.
any block with ``title="NAME"``
    Is written to the file NAME in that folder.
``…``
    Any text; alone on a line, any lines. In JSON also a key or a last element: more of the same kind.
``sh`` block
    Is shown only: what installs something.

A page that begins with ``<!-- needs: docker … -->`` needs a Docker engine; with ``gateway`` in it, ``docs/gateway.py``
answers at ``$GATEWAY`` while the page is run.

What differs from run to run only has to be there: timestamps, and milliseconds (numbers with three decimals in a
table; ``latency_ms`` and ``imported`` in JSON).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from markdown_it import MarkdownIt

from docs.gateway import gateway_for
from twinbench.containers.labels import NAMESPACE_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
MORE = "…"

_TITLE = re.compile(r'title="([^"]+)"')
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")
_MILLISECONDS = re.compile(r"(?<![\d.,])\d[\d,]*\.\d{3}(?!\d)")
_PROGRESS = re.compile(r"[a-z][^…]* …")
"""A line that a command prints where it takes over a second, without a terminal."""

_VARIES = frozenset({"latency_ms", "imported"})
_JSON_WIDTH = 120


@dataclass(frozen=True)
class Block:
    """A fenced block: its content and the lines (from 0, the end excluded) that the content takes."""

    language: str
    title: str | None
    content: str
    first: int
    end: int


@dataclass(frozen=True)
class Shown:
    """What a page says is printed, and in which lines it says so."""

    form: Literal["text", "json"]
    lines: tuple[str, ...]
    first: int
    end: int


@dataclass(frozen=True)
class Step:
    """Something that a reader of the page does: write a file, give a command, run Python code."""

    kind: Literal["file", "command", "python"]
    text: str
    line: int
    """Where it stands, from 1."""
    name: str | None = None
    shown: Shown | None = None


@dataclass(frozen=True)
class Mismatch:
    """A step that does not do what its page shows."""

    step: Step
    printed: str
    what: str
    """For the person who mends it."""
    exit_code: int


def pages() -> list[Path]:
    """Every page whose examples are run."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(markdown: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for token in MarkdownIt("commonmark").parse(markdown):
        if token.type == "fence" and token.map is not None:
            title = _TITLE.search(token.info)
            language = token.info.split()[0] if token.info.strip() else ""
            yield Block(language, title and title[1], token.content, token.map[0] + 1, token.map[1] - 1)


def steps(markdown: str) -> Iterator[Step]:
    """What a reader of the page does, in order."""
    found = list(blocks(markdown))
    for block, following in zip_longest(found, found[1:]):
        output = None
        if following is not None and following.language in ("text", "json") and following.title is None:
            form: Literal["text", "json"] = "json" if following.language == "json" else "text"
            output = Shown(form, tuple(following.content.splitlines()), following.first, following.end)
        if block.title is not None:
            yield Step("file", block.content, block.first, block.title)
        elif block.language == "python":
            yield Step("python", block.content, block.first, shown=output)
        elif block.language == "console":
            yield from _commands(block, output)


def _commands(block: Block, output: Shown | None) -> Iterator[Step]:
    lines = block.content.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        after = start + 1
        while after < end and lines[after].startswith("> "):
            after += 1
        command = "\n".join(line[2:] for line in lines[start:after])
        shown = Shown(_form(lines[after:end]), tuple(lines[after:end]), block.first + after, block.first + end)
        if not shown.lines and end == len(lines) and output is not None:
            shown = output
        yield Step("command", command, block.first + start + 1, shown=shown)


def _form(shown: Sequence[str]) -> Literal["text", "json"]:
    """Whether the output of a command is one JSON object, which is compared by content, or text."""
    try:
        return "json" if isinstance(json.loads("\n".join(shown)), dict) else "text"
    except ValueError:
        return "text"


def check(markdown: str, folder: Path, commands: Path | None = None) -> list[Mismatch]:
    """Do in ``folder`` all that the page shows; returns what came out differently.

    Args:
        markdown: the page.
        folder: an empty folder.
        commands: a folder of commands that count before those of ``PATH``.
    """
    _look_like_a_clone(folder)
    # The page meets no container that was not started by itself, whatever else runs on the engine.
    namespace = f"{os.environ.get(NAMESPACE_VARIABLE, 'docs')}/{uuid.uuid4().hex[:12]}"
    with gateway_for(markdown):
        environment = _environment(namespace, commands)
        return [wrong for step in steps(markdown) if (wrong := _done(step, folder, environment)) is not None]


def refreshed(markdown: str, mismatches: Sequence[Mismatch]) -> str:
    """The page with what its steps really print."""
    lines = markdown.splitlines()
    for wrong in sorted(mismatches, key=lambda mismatch: -mismatch.step.line):
        shown = wrong.step.shown
        if shown is None or wrong.exit_code != 0:
            continue
        if shown.form == "json":
            was = json.loads("\n".join(shown.lines) or "null")
            now = _laid_out(_updated(was, json.loads(wrong.printed))).split("\n")
        else:
            now = _shortened(shown.lines, wrong.printed.splitlines())
        lines[shown.first : shown.end] = now
    return "\n".join(lines) + "\n"


def _look_like_a_clone(folder: Path) -> None:
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.name != "results":
            (folder / entry.name).symlink_to(entry)
    (folder / "results").mkdir()
    (folder / "results" / "published").symlink_to(ROOT / "results" / "published")
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (folder / ".venv" / "ready").touch()  # newer than the lock file: make installs nothing


def _environment(namespace: str, commands: Path | None) -> dict[str, str]:
    unwanted = ("TWINBENCH_", "HF_", "MAKE", "MFLAGS", "VENV", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    first = [] if commands is None else [str(commands)]
    path = os.pathsep.join((*first, str(Path(sys.executable).parent), kept.get("PATH", "")))
    return kept | {
        "PATH": path,
        "TWINBENCH_STORE": "results/store",
        NAMESPACE_VARIABLE: namespace,
        "HF_HOME": ".hub",  # no page knows what the machine has fetched
        "COLUMNS": "80",
        "TERM": "dumb",
        "PYTHONUTF8": "1",
    }


def _done(step: Step, folder: Path, environment: Mapping[str, str]) -> Mismatch | None:
    if step.kind == "file":
        (folder / str(step.name)).write_text(step.text, "utf-8")
        return None
    code = step.kind == "python"
    done = subprocess.run(
        [sys.executable, "-"] if code else ["bash", "-o", "pipefail", "-c", step.text],
        input=step.text if code else None,
        stdin=None if code else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=environment,
        encoding="utf-8",
        check=False,
    )
    # What takes over a second says so, on a busy machine sooner than on another.
    lines = [line.rstrip() for line in done.stdout.splitlines() if not _PROGRESS.fullmatch(line)]
    printed = "\n".join(lines).replace(str(folder), MORE)
    if done.returncode != 0:
        return Mismatch(step, printed, f"exits with {done.returncode}:\n{printed}", done.returncode)
    if step.shown is None or _agrees(step.shown, printed):
        return None
    shown = "\n".join(step.shown.lines)
    return Mismatch(step, printed, f"the page shows:\n{shown}\nbut it prints:\n{printed}", 0)


def _agrees(shown: Shown, printed: str) -> bool:
    if shown.form == "json":
        try:
            return _json_agrees(json.loads("\n".join(shown.lines)), json.loads(printed))
        except ValueError:
            return False
    pattern = "".join("(?:.*\n)*?" if line == MORE else _pattern(_masked(line)) + "\n" for line in shown.lines)
    text = "".join(_masked(line) + "\n" for line in printed.splitlines())
    return re.fullmatch(pattern, text) is not None


def _pattern(text: str) -> str:
    return ".*".join(map(re.escape, text.split(MORE)))


def _masked(line: str) -> str:
    """The line without what varies; a table's columns are as wide as their longest number."""
    line = _MILLISECONDS.sub("<ms>", _TIMESTAMP.sub("<time>", line))
    return re.sub(r"([ ━─])\1+", r"\1", line).rstrip()


def _shortened(shown: Sequence[str], printed: Sequence[str]) -> list[str]:
    """``printed``, as many lines left out as ``shown`` leaves out, in the same place."""
    if shown.count(MORE) != 1:
        return list(printed)
    before = shown.index(MORE)
    after = len(shown) - before - 1
    if before + after >= len(printed):
        return list(printed)
    return [*printed[:before], MORE, *printed[len(printed) - after :]]


def _json_agrees(shown: Any, printed: Any) -> bool:
    if isinstance(shown, dict) and isinstance(printed, dict):
        keys = [key for key in shown if key != MORE]
        complete = MORE in shown or len(keys) == len(printed)
        return complete and all(
            key in printed and (key in _VARIES or _json_agrees(shown[key], printed[key])) for key in keys
        )
    if isinstance(shown, list) and isinstance(printed, list):
        elided = bool(shown) and shown[-1] == MORE
        items = shown[:-1] if elided else shown
        if len(items) > len(printed) or (len(items) < len(printed) and not elided):
            return False
        return all(map(_json_agrees, items, printed))
    if isinstance(shown, str) and isinstance(printed, str):
        return re.fullmatch(_pattern(shown), printed, re.DOTALL) is not None
    return type(shown) is type(printed) and bool(shown == printed)


def _updated(shown: Any, printed: Any) -> Any:
    """``printed``, shortened where ``shown`` is."""
    if _json_agrees(shown, printed):
        return shown
    if isinstance(shown, dict) and isinstance(printed, dict):
        if MORE not in shown:
            return {key: _updated(shown.get(key), value) for key, value in printed.items()}
        kept = {key: _updated(value, printed[key]) for key, value in shown.items() if key in printed}
        return kept | {MORE: shown[MORE]}
    if isinstance(shown, list) and isinstance(printed, list) and shown and shown[-1] == MORE:
        return [*map(_updated, shown[:-1], printed), MORE]
    return printed


def _laid_out(value: Any, indent: int = 0, before: int = 0) -> str:
    """JSON with as much on a line as fits."""
    whole = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or indent + before + len(whole) < _JSON_WIDTH:
        return whole
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        names = [json.dumps(key, ensure_ascii=False) + ": " for key in value]
        items = [
            name + _laid_out(item, indent + 2, len(name)) for name, item in zip(names, value.values(), strict=True)
        ]
        opening, closing = "{}"
    else:
        items = [_laid_out(item, indent + 2) for item in value]
        opening, closing = "[]"
    lines = items[:1]
    for item in items[1:]:
        joined = f"{lines[-1]}, {item}"
        fits = "\n" not in joined and len(inner) + len(joined) < _JSON_WIDTH
        lines = [*lines[:-1], joined] if fits else [*lines, item]
    return f"{opening}\n{inner}" + f",\n{inner}".join(lines) + f"\n{' ' * indent}{closing}"


def main(arguments: Sequence[str]) -> int:
    """Bring pages up to date; exit code 1 where a step fails, which nobody but a person can mend."""
    from docs import make_cli

    make_cli.main()
    failed = False
    for page in [Path(name).resolve() for name in arguments] or pages():
        markdown = page.read_text("utf-8")
        with tempfile.TemporaryDirectory() as folder:
            mismatches = check(markdown, Path(folder))
        for wrong in mismatches:
            failed = failed or wrong.exit_code != 0
            note = f"exits with {wrong.exit_code}:\n{wrong.printed}" if wrong.exit_code else "prints something else now"
            print(f"{page.name}:{wrong.step.line}: {note}")
        if mismatches:
            page.write_text(refreshed(markdown, mismatches), "utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

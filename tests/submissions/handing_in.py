"""Submissions as tests make them, and as forgers do: files and manifest changed together, every digest made anew."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.cli.commands import Ran, twinbench
from twinbench.submissions.archive import write_archive
from twinbench.submissions.manifest import MANIFEST_FILE

INFO = """
name = "my-router"
title = "My router"
description = "Decides by the length of the conversation."
licence = "Apache-2.0"

[contact]
name = "Ada Lovelace"
email = "ada@example.org"
"""

ROUTER = '''
from limits import limit


class Mine:
    """Long conversations go to the dearest."""

    def __init__(self, at: int = 2):
        self.at = at

    def route(self, call):
        return call.candidates[-1] if call.step_index > limit(self.at) else call.candidates[0]
'''

LIMITS = "def limit(at):\n    return at\n"


def write_router(folder: Path, router: str = ROUTER) -> str:
    """Write a router with a module beside it, and give its spec."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.py").write_text(router, "utf-8")
    (folder / "limits.py").write_text(LIMITS, "utf-8")
    (folder / "submission.toml").write_text(INFO, "utf-8")
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return f"{folder / 'mine.py'}:Mine"


def pack(router: str, output: Path, *more: str | Path, info: Path | None = None) -> Ran:
    """``submit pack`` in this process."""
    about = info or Path(router.partition(".py:")[0]).parent / "submission.toml"
    return twinbench("submit", "pack", router, "--info", about, "-o", output, "--json", *more)


def verify(file: Path, *more: str | Path, ask: str = "none") -> Ran:
    """``submit verify`` in this process."""
    return twinbench("submit", "verify", file, "--ask", ask, "--json", *more)


def failed(ran: Ran) -> set[str]:
    """The names of the checks that failed; the exit code has to agree."""
    report = ran.json
    names = {check["name"] for check in report["checks"] if check["status"] == "fail"}
    assert ran.code == (1 if names else 0)
    assert report["ok"] is (not names)
    return names


def reasons(ran: Ran, name: str) -> str:
    """What the checks of a name say, in one text."""
    return "\n".join(check["reason"] for check in ran.json["checks"] if check["name"] == name)


def contents(file: Path) -> dict[str, bytes]:
    """All files of an archive."""
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forge(
    file: Path,
    output: Path,
    *,
    files: Mapping[str, bytes | None] | None = None,
    manifest: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Make another submission of one, with every digest as it has to be.

    Args:
        file: the submission.
        output: the forged one.
        files: files that are changed or added, by path; None removes one.
        manifest: changes the manifest.
    """
    there = contents(file)
    told = json.loads(there.pop(MANIFEST_FILE))
    there.pop(f"{MANIFEST_FILE}.sig", None)
    for name, content in (files or {}).items():
        if content is None:
            del there[name]
        else:
            there[name] = content
    told["files"] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in there.items()
    }
    if manifest is not None:
        manifest(told)
    write_archive(output, {**there, MANIFEST_FILE: json.dumps(told).encode()})
    return output


def zip_of(path: Path, entries: Iterable[tuple[zipfile.ZipInfo | str, bytes]]) -> Path:
    """Write a zip file as it is told, sound or not."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path

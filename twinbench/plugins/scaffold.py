"""Create a small installable plugin project (``twinbench router new``)."""

from __future__ import annotations

import keyword
import re
import sys
from importlib import resources
from pathlib import Path
from string import Template

from twinbench.errors import TwinbenchError, UsageError
from twinbench.routers.registry import BUILT_IN

_TAKEN = {"twinbench", "static_track", "dynamic_track", "tests"}
_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


def write_project(name: str, parent: Path, *, learned: bool = False) -> list[Path]:
    """Write a plugin project into ``parent / name`` and return the files written.

    Args:
        name: the name of the router and its project.
        parent: the folder that the project's folder is made in.
        learned: start from a router that is trained on a bank.

    Raises:
        UsageError: the name is not a valid package name or is taken.
        TwinbenchError: the folder cannot be written.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UsageError(f"router name {name!r}: use lower-case letters, digits and '-', starting with a letter")
    if name in BUILT_IN:
        raise UsageError(f"router name {name!r} belongs to a built-in router; choose another")
    if name.replace("-", "_") in sys.stdlib_module_names | _TAKEN:
        raise UsageError(f"router name {name!r} is the name of a module that Python or twinbench needs; choose another")
    folder = parent / name
    if folder.exists():
        raise UsageError(f"{folder} exists already; choose another name or folder")
    package = name.replace("-", "_")
    words = {"name": name, "package": package, "class_name": "".join(part.capitalize() for part in package.split("_"))}
    kind = "_learned" if learned else ""
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": f"README{kind}.md",
        f"{package}/__init__.py": f"router{kind}.py",
        "tests/test_router.py": f"test_router{kind}.py",
    }
    templates = resources.files("twinbench.plugins") / "template"
    written = []
    try:
        for target, source in files.items():
            path = folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            text = (templates / f"{source}.txt").read_text("utf-8")
            path.write_text(Template(text).substitute(words), "utf-8")
            written.append(path)
    except OSError as error:
        raise TwinbenchError(f"cannot write {folder} ({error.strerror or error})") from None
    return written

"""The files that a router's process runs, and its environment variables."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from importlib.util import cache_from_source
from pathlib import Path

from twinbench.plugins.limits import PluginLimits
from twinbench.storage.temporary_folders import temporary_folder

PASSED_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONPATH", "SYSTEMROOT", "NUMBER_OF_PROCESSORS")
"""Environment variables that a router always sees; the user may name further ones."""

LARGEST_FILE_BYTES = 512 * 2**20
MOST_OPEN_FILES = 1024
RESOURCE_LIMITS = (f"RLIMIT_FSIZE={LARGEST_FILE_BYTES}", f"RLIMIT_NOFILE={MOST_OPEN_FILES}")
"""Resource limits that a router's process sets before it loads foreign code; arguments of its start script."""

_RUNTIME: Mapping[str, Sequence[str]] = {
    ".": ("__init__.py",),
    "routing": (
        *("__init__.py", "accepting.py", "built_in.py", "content.py", "llm.py", "router.py", "tiers.py", "training.py"),
        "usage.py",
    ),
    "plugins": (
        *(
            "__init__.py",
            "arguments.py",
            "artefact_names.py",
            "constructing.py",
            "fitting.py",
            "host.py",
            "provenance.py",
        ),
        *("published.py", "published_text.py", "raised.py", "reaper.py", "twinrouterbench.py", "wire.py"),
    ),
}
"""The files that a router's process runs, by folder of the package; they need the standard library only."""

_SCRIPTS = {
    "start": (("reaper", "fork_reaper"), ("host", "main")),
    "describe": (("provenance", "main"),),
}


@contextlib.contextmanager
def runtime_folder() -> Iterator[Path]:
    """Make a temporary folder with the files that a router's process runs, and nothing else of twinbench."""
    package = Path(__file__).parent.parent
    with temporary_folder() as folder:
        for room, files in _RUNTIME.items():
            target = folder / "runtime" / "twinbench" / room
            (target / "__pycache__").mkdir(parents=True)
            for file in files:
                _copy_with_bytecode(package / room / file, target / file)
        (target := folder / "runtime" / "twinbench" / "routers").mkdir()
        for path in (package / "routers").glob("*.py"):  # most processes need none
            shutil.copyfile(path, target / path.name)
        for script, steps in _SCRIPTS.items():
            lines = [f"from twinbench.plugins.{module} import {name}\n{name}()\n" for module, name in steps]
            (folder / "runtime" / f"{script}.py").write_text("".join(lines), "utf-8")
        (folder / "home").mkdir()
        yield folder


def _copy_with_bytecode(source: Path, target: Path) -> None:
    """Copy a module, with its bytecode where this interpreter has it, so that no router's process compiles it again.

    Another interpreter looks for bytecode under another name. The copy keeps the time of the source, by which Python
    knows whether bytecode belongs to it.
    """
    shutil.copy2(source, target)
    bytecode = cache_from_source(str(source))
    if not os.path.exists(bytecode):  # noqa: PTH110 - twenty times a process
        SourceFileLoader(source.stem, str(source)).get_code(source.stem)  # keeps it where the package can be written to
    with contextlib.suppress(OSError):
        shutil.copyfile(bytecode, cache_from_source(str(target)))


def plugin_environment(home: Path, limits: PluginLimits) -> dict[str, str]:
    """Return the environment variables of a router's process."""
    environment = {name: os.environ[name] for name in (*PASSED_ENVIRONMENT, *limits.environment) if name in os.environ}
    for name in ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"):
        environment.setdefault(name, str(home))
    return environment

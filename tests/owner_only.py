"""The command line of somebody whose rights end where permissions say so; those of root, who runs suites, do not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.cli.commands import SCRIPT, Ran, without_progress

_ROOTS_PRIVILEGES = "-dac_override,-dac_read_search"


@cache
def _without_privileges() -> list[str]:
    """What a command line begins with so that permissions hold; skips the test where nothing does that."""
    if os.geteuid() != 0:
        return []
    if sys.platform != "linux" or (setpriv := shutil.which("setpriv")) is None:
        pytest.skip("root may read everything, and there is no setpriv to give that up")
    return [setpriv, "--bounding-set", _ROOTS_PRIVILEGES, "--inh-caps", _ROOTS_PRIVILEGES]


def as_owner_only(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Ran:
    """Run the installed command with the rights of a user whose files these are."""
    done = subprocess.run(
        [*_without_privileges(), SCRIPT, *arguments],
        capture_output=True,
        env={**os.environ, **(environment or {})},
        timeout=120,
        check=False,
    )
    return Ran(done.returncode, done.stdout, without_progress(done.stderr.decode()))

"""The command line of somebody whose rights end where permissions say so; those of root, who runs suites, do not."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.commands import Ran, spawned


def as_owner_only(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Ran:
    """Run the command with the rights of a user whose files these are."""
    is_root = os.geteuid() == 0
    if is_root and sys.platform != "linux":
        pytest.skip("root may read everything, and gives that up on Linux alone")
    return spawned(*arguments, environment=environment, permissions_hold=is_root)

"""Debian's Chromium, driven by Playwright: what acceptance tests open reports in."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine import alone_on_this_machine

NAMES = ("chromium", "chromium-browser", "google-chrome")
_INSTALL_S = 900


def chromium() -> str:
    """The browser's path; it is installed where it is missing and this is root on Debian, else the test is skipped."""
    if (found := _found()) is not None:
        return found
    if not _is_root() or shutil.which("apt-get") is None:
        pytest.skip("NO CHROMIUM: none is installed, and only root on a Debian could install it")
    with alone_on_this_machine("chromium"):
        if _found() is None:
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            for words in (("update", "-qq"), ("install", "-y", "-qq", "--no-install-recommends", "chromium")):
                done = subprocess.run(
                    ["apt-get", *words],
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=_INSTALL_S,
                    check=False,
                )
                if done.returncode:
                    pytest.skip(f"NO CHROMIUM: apt-get {words[0]} failed: {done.stderr.strip()[-300:]}")
    found = _found()
    assert found is not None, "apt-get installed chromium, and it is nowhere"
    return found


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _found() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name)) is not None), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is of the dev group")
    path = chromium()
    with playwright.sync_playwright() as driver:
        # Root has no sandbox; what is opened is our own page.
        opened = driver.chromium.launch(executable_path=path, args=["--no-sandbox"] if _is_root() else [])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages go."""
    return tmp_path_factory.mktemp("screenshots")

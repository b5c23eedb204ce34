"""A Ray cluster of the tests' own on this machine: one node, on free ports, ended by the processes that it started.

Never by ``ray stop``, which ends every Ray on the machine.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tests.timing import HANG_S

OFFERED = 4
"""How many cases the node offers to run at once."""
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",  # else Ray writes a token into the home directory
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # on a busy machine, 15 would let an actor wait for minutes
}


class RayHead:
    """The head of a cluster, which is its only node."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes drivers."""
        ray = Path(sysconfig.get_path("scripts")) / "ray"
        command = [str(ray), "start", "--head", "--block", "--port", self.address.rpartition(":")[2]]
        command += [
            "--include-dashboard=false",
            "--num-cpus=1",
            "--disable-usage-stats",
            "--object-store-memory=80000000",
        ]
        command += ["--temp-dir", str(self._folder), "--resources", f'{{"docker": {OFFERED}}}']
        with (self._folder / "start.log").open("ab") as log:
            self._popen = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **ENVIRONMENT}, start_new_session=True
            )
        limit = time.monotonic() + 2 * HANG_S
        while "Ray runtime started" not in (self._folder / "start.log").read_text("utf-8", "replace"):
            assert self._popen.poll() is None, (self._folder / "start.log").read_text("utf-8", "replace")
            assert time.monotonic() < limit, "Ray does not start"
            time.sleep(0.1)

    def actors(self) -> list[psutil.Process]:
        """The processes of actors that run."""
        return [each for each in self._processes() if _title(each).startswith("ray::NodeActor")]

    def _processes(self) -> list[psutil.Process]:
        if self._popen is None:
            return []
        try:
            return psutil.Process(self._popen.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def stop(self) -> None:
        """End everything that it started."""
        if self._popen is None:
            return
        every = self._processes()
        self._popen.kill()
        self._popen.wait()
        for process in every:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(every, timeout=HANG_S)
        self._popen = None


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def ray_head_running() -> Iterator[RayHead]:
    """A cluster that runs; a test that cannot have it is skipped, and says why."""
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'twinbench[ray]'")
    folder = Path(tempfile.mkdtemp(prefix="tw-ray-"))  # a socket's path must be short
    head = RayHead(folder)
    try:
        head.start()
        yield head
    finally:
        head.stop()
        shutil.rmtree(folder, ignore_errors=True)

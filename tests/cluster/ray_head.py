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
_TRIES = 3
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",  # else Ray writes a token into the home directory
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # on a busy machine, 15 would let an actor wait for minutes
}


class RayHead:
    """The head of a cluster, which is its only node."""

    def __init__(self, folder: Path, offered: int, host: str) -> None:
        self._folder = folder
        self._offered = offered
        self._host = host
        with socket.create_server((host, 0)) as free:
            self.address = f"{host}:{free.getsockname()[1]}"
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes drivers.

        Ray gives up if its parts do not start within 30 s, which a busy machine may need: then it is tried again.
        """
        for _ in range(_TRIES):
            if self._starts():
                return
            self.stop()
        raise AssertionError((self._folder / "start.log").read_text("utf-8", "replace"))

    def _starts(self) -> bool:
        ray = Path(sysconfig.get_path("scripts")) / "ray"
        command = [str(ray), "start", "--head", "--block", "--port", self.address.rpartition(":")[2]]
        command += ["--include-dashboard=false", "--num-cpus=1", "--disable-usage-stats"]
        command += ["--object-store-memory=80000000"]
        command += ["--temp-dir", str(self._folder), "--resources", f'{{"docker": {self._offered}}}']
        command += ["--node-ip-address", self._host] if self._host != "127.0.0.1" else []
        log = self._folder / "start.log"
        with log.open("wb") as file:
            self._popen = subprocess.Popen(
                command, stdout=file, stderr=file, env={**os.environ, **ENVIRONMENT}, start_new_session=True
            )
        limit = time.monotonic() + 2 * HANG_S
        while self._popen.poll() is None and time.monotonic() < limit:
            if "Ray runtime started" in log.read_text("utf-8", "replace"):
                return True
            time.sleep(0.1)
        return False

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
        # Ray's parts outlive the command that started them, and name the folder.
        every = {*self._processes(), *(each for each in psutil.process_iter() if str(self._folder) in _title(each))}
        self._popen.kill()
        self._popen.wait()
        for process in every:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(list(every), timeout=HANG_S)
        self._popen = None


def _own_address() -> str:
    """The address from which this machine reaches others; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect(("192.0.2.1", 9))
        return str(way.getsockname()[0])


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def ray_head_running(offered: int = OFFERED, *, everywhere: bool = False) -> Iterator[RayHead]:
    """A cluster that runs; a test that cannot have it is skipped, and says why.

    Args:
        offered: how many cases its node offers to run at once.
        everywhere: listen at an address that other machines reach.
    """
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'twinbench[ray]'")
    folder = Path(tempfile.mkdtemp(prefix="tw-ray-"))  # a socket's path must be short
    head = RayHead(folder, offered, _own_address() if everywhere else "127.0.0.1")
    try:
        head.start()
        yield head
    finally:
        head.stop()
        shutil.rmtree(folder, ignore_errors=True)

"""Nodes of a Ray cluster on one machine, each in network and PID namespaces of its own with a dockerd of its own.

With a PID namespace of its own, a node's processes are those of another machine to everybody else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.cluster.ray_head import ENVIRONMENT, RayHead, ray_head_running
from tests.timing import HANG_S
from twinbench.causes import CausedError
from twinbench.containers.engine import Engine

CASES_AT_ONCE = 2

_START = """\
set -e
mount -t tmpfs none /run
hostname {name}
dockerd --host unix://{folder}/d.sock --bridge=none --iptables=false --ip6tables=false --ip-masq=false \
  --ip-forward=false --data-root {folder}/data --exec-root {folder}/exec --pidfile {folder}/pid \
  --config-file {folder}/json >{folder}/dockerd.log 2>&1 &
echo $! >{folder}/dockerd.number
exec {ray} start --address {head} --node-ip-address {address} --num-cpus 1 --resources '{{"docker": {cases}}}' \
  --object-store-memory 80000000 --disable-usage-stats --block >{folder}/ray.log 2>&1
"""


class NamespacedNode:
    """A machine that is none."""

    def __init__(self, number: int, head: RayHead) -> None:
        self.name = f"twn{os.getpid() % 1000}-{number}"
        self._link = f"tw{os.getpid() % 1000}v{number}"
        self._network = f"10.{77 + number}.{os.getpid() % 250}"
        self._head = head
        self.folder = Path(tempfile.mkdtemp(prefix="tw-n-"))
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def engine_address(self) -> str:
        """Of its dockerd."""
        return f"unix://{self.folder}/d.sock"

    def start(self) -> None:
        """Make the namespaces, and start dockerd and Ray in them."""
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _run("ip", "addr", "add", f"{self._network}.1/24", "dev", self._link)
        _run("ip", "link", "set", self._link, "up")
        inside = ("ip", "-n", self.name)
        _run(*inside, "addr", "add", f"{self._network}.2/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _run(*inside, "link", "set", device, "up")
        _run(*inside, "route", "add", "default", "via", f"{self._network}.1")
        (self.folder / "json").write_text("{}")
        script = _START.format(
            folder=self.folder,
            name=self.name,
            ray=Path(sysconfig.get_path("scripts")) / "ray",
            head=self._head.address,
            address=f"{self._network}.2",
            cases=CASES_AT_ONCE,
        )
        words = ["nsenter", f"--net=/run/netns/{self.name}", "unshare", "--pid", "--uts", "--fork", "--kill-child"]
        self._popen = subprocess.Popen(
            [*words, "--mount", "--mount-proc", "bash", "-c", script],
            env={**os.environ, **ENVIRONMENT, "DOCKER_HOST": self.engine_address},
            start_new_session=True,
        )
        limit = time.monotonic() + 2 * HANG_S
        while "Ray runtime started" not in self._log():
            assert self._popen.poll() is None, self._log()
            assert time.monotonic() < limit, self._log()
            time.sleep(0.2)

    def _log(self) -> str:
        with contextlib.suppress(OSError):
            return (self.folder / "ray.log").read_text("utf-8", "replace")
        return ""

    def connect(self, seconds: float = HANG_S) -> Engine:
        """A connection to its engine, once that answers."""
        limit = time.monotonic() + seconds
        while True:
            try:
                return Engine.connect(self.engine_address)
            except CausedError:
                assert time.monotonic() < limit, self.engine_address
                time.sleep(0.05)

    def processes(self, name: str) -> list[psutil.Process]:
        """Its processes of a name."""
        assert self._popen is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            every = psutil.Process(self._popen.pid).children(recursive=True)
            return [each for each in every if _name(each) == name]
        return []

    def set_link(self, state: str) -> None:
        """Take its network up or down."""
        subprocess.run(["ip", "link", "set", self._link, state], check=True)

    def signal_all(self, name: str, number: signal.Signals) -> None:
        """Send a signal to its processes of a name."""
        for process in self.processes(name):
            process.send_signal(number)

    def stop(self) -> None:
        """End everything in it, its network too; its engine's images stay, and it can be started again."""
        if self._popen is not None:
            self.signal_all("dockerd", signal.SIGCONT)
            self._popen.kill()  # its first process takes the others with it
            self._popen.wait()
            self._popen = None
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self._link], check=False, capture_output=True)
        # dockerd would take a process that has the number in the next PID namespace for its own.
        for name in ("ray.log", "pid", "exec/containerd/containerd.pid"):
            (self.folder / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """End everything in it, and remove its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


@contextmanager
def nodes_running(count: int) -> Iterator[tuple[RayHead, list[NamespacedNode]]]:
    """A head that runs no cases, and nodes; skipped where they cannot be had."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("dockerd", "nsenter", "unshare", "ip"))):
        pytest.skip("nodes in namespaces: needs dockerd, nsenter, unshare and ip, and to be root")
    with ray_head_running(offered=0, everywhere=True) as head:
        nodes = [NamespacedNode(number, head) for number in range(1, count + 1)]
        try:
            for node in nodes:
                node.start()
            yield head, nodes
        finally:
            for node in nodes:
                node.remove()

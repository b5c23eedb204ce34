"""A Docker engine of the tests' own beside the machine's, which can be empty and can be ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.engine import alone_on_this_machine
from tests.timing import HANG_S
from twinbench.containers.engine import Engine

_STARTS_WITHIN_S = HANG_S
_STOPS_WITHIN_S = 30.0


class SecondEngine:
    """dockerd with everything of its own, its network too.

    As it starts, ``--bridge=none`` removes the bridge docker0, which would be that of the machine's own engine.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.address = f"unix://{folder}/d.sock"
        self._log = folder / "log"
        self._popen: subprocess.Popen[bytes] | None = None
        (folder / "json").write_text("{}")  # not the machine's own configuration

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [
            "unshare",
            "--net",
            "dockerd",
            "--host",
            self.address,
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
        ]
        command += ["--ip-masq=false", "--ip-forward=false"]
        for option, name in (("data-root", "data"), ("exec-root", "exec"), ("pidfile", "pid"), ("config-file", "json")):
            command += [f"--{option}", str(self._folder / name)]
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C is for the tests, which then stop it in an order that leaves nothing.
            self._popen = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        limit = time.monotonic() + _STARTS_WITHIN_S
        while time.monotonic() < limit and self._popen.poll() is None:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as way:
                way.connect(self.address.removeprefix("unix://"))
                way.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                way.settimeout(max(limit - time.monotonic(), 0.1))
                if b" 200 OK" in way.recv(100):
                    return
            time.sleep(0.1)
        self.stop()
        last = self._log.read_text("utf-8", "replace").strip().splitlines()[-1:]
        raise RuntimeError("".join(last))

    def connect(self) -> Engine:
        """The engine, for twinbench."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", self.address)
            return Engine.connect()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal, and wait for that."""
        if self._popen is not None:
            self._popen.send_signal(number)
            try:
                self._popen.wait(_STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
            self._popen = None
        # What one that was killed leaves, which the next would wait for in vain.
        for process in self._its_own("containerd "):
            process.kill()
            process.wait()
        for left in ("pid", "exec/containerd/containerd.pid"):
            (self._folder / left).unlink(missing_ok=True)

    def _its_own(self, program: str = "") -> list[psutil.Process]:
        """What runs with a path in this engine's folder on its command line."""
        lines = [(process, " ".join(process.info["cmdline"] or ())) for process in psutil.process_iter(["cmdline"])]
        return [process for process, line in lines if str(self._folder) in line and line.startswith(program)]

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Within the block, it accepts connections and answers nothing."""
        assert self._popen is not None
        self._popen.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._popen.send_signal(signal.SIGCONT)

    def restart(self, number: signal.Signals, after_s: float) -> None:
        """End it by a signal after some time, and start it again."""
        time.sleep(after_s)
        self.stop(number)
        self.start()

    def remove(self) -> None:
        """End it, and remove all that it kept."""
        self.stop()
        for shim in self._its_own():
            for process in (*shim.children(recursive=True), shim):
                process.kill()
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((each for each in mounts if each.startswith(str(self._folder))), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(self._folder)


@contextmanager
def second_engine_running() -> Iterator[SecondEngine]:
    """One that runs; a test that cannot have it is skipped, and says why."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("dockerd", "unshare"))):
        pytest.skip("a second Docker engine: needs dockerd and unshare, and to be root")
    with alone_on_this_machine("second-engine"):  # they share names in the kernel, and two cores are few
        second = SecondEngine(Path(tempfile.mkdtemp(prefix="tw-")))  # a socket's path must be short
        try:
            try:
                second.start()
            except RuntimeError as error:
                pytest.skip(f"a second Docker engine does not start here: {error}")
            yield second
        finally:
            second.remove()

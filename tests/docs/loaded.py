"""The command ``twinbench`` for examples of the documentation, forked from a process that has loaded everything.

To load what a live run needs takes seconds of both cores, and the pages start hundreds of commands. What they print is
the same; that each command also runs as a process of its own, ``make acceptance PART=examples`` tries on all pages.
"""

from __future__ import annotations

import array
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.forked import become_command, load_commands
from tests.conftest import ROOT
from tests.plugins.hosting import session_environment

_CLIENT = f"""#!{sys.executable} -IS
import array, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({{address!r}})
    words = [os.getcwd(), *(f"{{{{name}}}}={{{{value}}}}" for name, value in os.environ.items()), "", *sys.argv[1:]]
    told = "\\0".join(words).encode("utf-8", "surrogateescape")
    descriptors = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))
    server.sendmsg([len(told).to_bytes(8, "big")], [descriptors])
    server.sendall(told)
    code = server.recv(1)
sys.exit(code[0] if code else 1)
"""


@contextmanager
def loaded_command() -> Iterator[Path]:
    """A folder with a command ``twinbench``, to be put before the others in ``PATH``."""
    folder = Path(tempfile.mkdtemp(prefix="tw-docs-"))  # a socket's path must be short
    address = str(folder / "s")
    (folder / "bin").mkdir()
    client = folder / "bin" / "twinbench"
    client.write_text(_CLIENT.format(address=address), "utf-8")
    client.chmod(0o755)
    # What libraries read of the environment when they are loaded, as pages have it.
    environment = session_environment(HF_HOME=".hub", PYTHONUTF8="1")
    command = [sys.executable, "-m", "tests.docs.loaded", address]
    try:
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            yield folder / "bin"
            server.terminate()
    finally:
        shutil.rmtree(folder)


def _load_all() -> None:
    """Load what the commands of pages need, that of live runs among it."""
    load_commands()
    from dynamic_track import harness
    from dynamic_track.rehearsal import rehearsal_runs  # noqa: F401
    from dynamic_track.running import runner  # noqa: F401
    from dynamic_track.running.agent import ActionFormat, agent_settings
    from twinbench.providers import gateway
    from twinbench.storage.manifest_files import live_manifest

    harness.version()
    agent_settings(ActionFormat.tool, live_manifest().agent)
    gateway._litellm()


def _serve(address: str) -> None:
    _load_all()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(32)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the commands but who asked for them
        print("ready", flush=True)
        while True:
            asking, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _answer(asking)
            asking.close()


def _answer(asking: socket.socket) -> None:
    """Be the command that is asked for, and tell its exit code."""
    descriptors = array.array("i")
    size, ancillary, _, _ = asking.recvmsg(8, socket.CMSG_SPACE(3 * descriptors.itemsize))
    for _, _, data in ancillary:
        descriptors.frombytes(data)
    told = b""
    while len(told) < int.from_bytes(size, "big"):
        told += asking.recv(1 << 16)
    folder, *words = told.decode("utf-8", "surrogateescape").split("\0")
    end = words.index("")
    environment = dict(word.partition("=")[::2] for word in words[:end])
    code = 1
    try:
        code = become_command(
            {"folder": folder, "environment": environment, "arguments": words[end + 1 :]}, descriptors
        )
    finally:
        asking.send(bytes([code]))
        os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])

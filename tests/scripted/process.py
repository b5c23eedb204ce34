"""The scripted server as a process of its own, which a killed client does not take along."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dynamic_track.rehearsal.server import COMPLETIONS, ReceivedRequest
from tests.scripted.server import RECORD, read_back

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class ServerProcess:
    """Where a server in another process listens."""

    port: int
    pid: int

    @property
    def api_base(self) -> str:
        """Its address for clients."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def asked(self) -> list[ReceivedRequest]:
        """What it was asked until now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{RECORD}", timeout=10) as answer:
            return [read_back(each) for each in json.load(answer)]

    @property
    def completions(self) -> list[ReceivedRequest]:
        """The requests for completions among it."""
        return [asked for asked in self.asked if asked.path == COMPLETIONS]


@contextmanager
def server_process(script: Path, port: int = 0) -> Iterator[ServerProcess]:
    """A server that serves the script in a file, in its own process group."""
    command = [sys.executable, "-m", "tests.scripted.server", "--script", str(script), "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{script}: the server ended with {process.wait()}")
            yield ServerProcess(int(line), process.pid)
        finally:
            process.kill()

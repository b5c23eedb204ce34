"""What the tunnel to a node's Docker engine costs, against the same engine without it."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from statistics import median

from benchmarks.measuring import Measurement, seconds
from twinbench.cluster.tunnel import DOCKER, open_tunnel
from twinbench.containers.base_image import BASE_IMAGE, ensure_base_image
from twinbench.containers.engine import Engine, NoEngineError
from twinbench.containers.sandbox import Sandbox
from twinbench.containers.tunnels import Tunnels

_HERE = "127.0.0.1"
_SOCKET = "/var/run/docker.sock"
_ROUNDS = 15
_COMMANDS = 10
_CONCURRENT = 8
_MORE_S = 0.0005
"""How much longer a command may take through the tunnel."""
_RATIO = 1.2

_NODE = f"""
import sys
from twinbench.cluster.tunnel import DOCKER, TunnelServer, forward
server = TunnelServer({_HERE!r}, bytes.fromhex(sys.argv[1]), [{_HERE!r}],
                      {{DOCKER: lambda connection: forward(connection, {_SOCKET!r})}}, None)
print(server.address[1], flush=True)
sys.stdin.read()
"""


def measurements() -> Iterator[Measurement]:
    """One command and eight at once, by time and by the CPU time of the run's process; both ways alternate."""
    try:
        local = Engine.connect()
    except NoEngineError as error:
        print(f"skipped: {error}", file=sys.stderr)
        return
    with local, tunnelled_engine(local) as through:
        ensure_base_image(local)
        yield from _compared(local, through, 1)
        yield from _compared(local, through, _CONCURRENT)


@contextmanager
def tunnelled_engine(local: Engine) -> Iterator[Engine]:
    """The same engine through a tunnel, whose other end is a process of its own, as it is on a node."""
    secret = secrets.token_bytes(32)
    words = [sys.executable, "-c", _NODE, secret.hex()]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        port = int(node.stdout.readline())

        tunnels = Tunnels(lambda timeout_s: open_tunnel((_HERE, port), secret, DOCKER, timeout_s=timeout_s, tls=None))
        with Engine.connect_through(tunnels, local.probe, "bench") as engine:
            yield engine
        node.stdin.close()


def _compared(local: Engine, through: Engine, threads: int) -> Iterator[Measurement]:
    with ExitStack() as stack:
        both = [
            [stack.enter_context(Sandbox(engine, BASE_IMAGE, "bench")) for _ in range(threads)]
            for engine in (local, through)
        ]
        taken: list[list[float]] = [[], []]
        cpu = [0.0, 0.0]
        for number in range(2 * _ROUNDS):
            which = number % 2
            began = time.process_time()
            taken[which] += _timed(both[which])
            cpu[which] += time.process_time() - began
    here_s, there_s = median(taken[0]), median(taken[1])
    shown = "one at a time" if threads == 1 else f"{threads} at once"
    limit = (here_s + _MORE_S) / here_s if threads == 1 else _RATIO
    against = "the local engine without it"
    yield Measurement(
        f"a command through the tunnel to a node, {shown}",
        seconds(there_s),
        f"{against}, {seconds(here_s)}",
        there_s / here_s,
        limit,
    )
    commands = _ROUNDS * _COMMANDS * threads
    yield Measurement(
        f"CPU time of the run's process for it, {shown}",
        seconds(cpu[1] / commands),
        f"{against}, {seconds(cpu[0] / commands)}",
        cpu[1] / cpu[0],
        _RATIO,
    )


def _timed(sandboxes: Sequence[Sandbox]) -> list[float]:
    def run(sandbox: Sandbox) -> list[float]:
        found = []
        for _ in range(_COMMANDS):
            began = time.perf_counter()
            sandbox.run_command("echo hello")
            found.append(time.perf_counter() - began)
        return found

    with ThreadPoolExecutor(len(sandboxes)) as pool:
        return [each for found in pool.map(run, sandboxes) for each in found]

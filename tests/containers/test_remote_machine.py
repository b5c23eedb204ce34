"""Disk and memory of an engine's machine, measured there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from tests.containers.running import SMALL, loses_connections
from tests.images import image_of_files
from twinbench.cluster.tunnel import forward
from twinbench.containers.engine import DiskError, Engine
from twinbench.containers.labels import NAMESPACE, container_namespace
from twinbench.containers.probing import is_on_this_machine, parse_measured
from twinbench.containers.sandbox import Sandbox

pytestmark = loses_connections

SOCKET = "/var/run/docker.sock"
NEARLY = 0.2


@contextmanager
def forwarded() -> Iterator[str]:
    """The machine's engine at a TCP address, as one of another machine is reached."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            forward(connection, SOCKET)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_disk_and_memory_of_a_remote_engine_are_measured_there(engine: Engine, base_image: str) -> None:
    assert engine.is_local
    here = engine.free_mib()
    assert here is not None
    with (
        image_of_files(engine, {"note": b"an image without a shell, which is tried first since it is the newest"}),
        forwarded() as address,
        Engine.connect(address) as remote,
    ):
        assert remote.root_dir == engine.root_dir  # a folder that this machine has too
        assert not remote.is_local
        measured = remote.probe.measure()
        assert measured.free_disk_mib == pytest.approx(here, rel=NEARLY)
        assert measured.available_memory_mib == pytest.approx(psutil.virtual_memory().available / 2**20, rel=NEARLY)
        with pytest.raises(DiskError, match="MiB are free"):
            remote.refuse_full_disk(10**9)
        with Sandbox(remote, base_image, "case", limits=SMALL) as sandbox:
            assert sandbox.run_command("echo there").output == "there\n"
    left = engine.client.containers.list(all=True, filters={"label": f"{NAMESPACE}={container_namespace()}"})
    assert left == []


def test_an_engine_of_another_machine_is_not_here_even_with_the_same_folder() -> None:
    memory = psutil.virtual_memory().total
    own = {"Name": socket.gethostname(), "MemTotal": memory, "DockerRootDir": "/"}
    assert is_on_this_machine("unix:///run/docker.sock", own)
    assert not is_on_this_machine("tcp://10.0.0.5:2375", own)
    assert not is_on_this_machine("unix:///run/forwarded.sock", own | {"Name": "another"})
    assert not is_on_this_machine("unix:///run/forwarded.sock", own | {"MemTotal": memory + 1})


def test_what_is_no_measurement_is_refused() -> None:
    for output in ("", "MemAvailable: 5 kB", "Filesystem 1 2 3 4 5"):
        with pytest.raises(ValueError, match="memory and disk are missing"):
            parse_measured(output)

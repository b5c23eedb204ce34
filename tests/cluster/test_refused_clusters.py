"""Clusters and nodes that cannot be used, said before anything is spent."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.commands import twinbench
from tests.dynamic_track.live import KEY, KEY_VARIABLE, run_arguments
from twinbench.cluster.connecting import ClusterError, check_address
from twinbench.cluster.node import NodeActor, measure
from twinbench.errors import UsageError

WITHOUT_RAY = """
import sys
sys.modules["ray"] = None
from twinbench.cluster.connecting import connected_cluster
try:
    with connected_cluster(sys.argv[1]):
        pass
except Exception as error:
    print(type(error).__name__, error)
"""
WITHOUT_TWINBENCH = """
import sys
sys.modules["twinbench"] = None
import pickle
actor = pickle.loads(sys.stdin.buffer.read())
print(actor.__name__, sorted(name for name in sys.modules if name.startswith("twinbench.")))
"""


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ray://127.0.0.1:10001", "a Ray client cannot reach the nodes' Docker engines"),
        ("127.0.0.1", "give HOST:PORT"),
        ("127.0.0.1:port", "give HOST:PORT"),
    ],
)
def test_addresses_of_another_form_are_refused(address: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_address(address)


def test_an_address_where_nothing_answers_is_told_soon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    began = time.monotonic()
    with pytest.raises(ClusterError, match=f"no Ray cluster answers at 127.0.0.1:{port}"):
        check_address(f"127.0.0.1:{port}")
    assert time.monotonic() - began < 15


def test_without_ray_what_to_install_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        words = [sys.executable, "-c", WITHOUT_RAY, f"127.0.0.1:{listener.getsockname()[1]}"]
        ran = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ran.stdout == "ClusterError --executor ray needs Ray: pip install 'twinbench[ray]'\n"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--executor", "slurm"), "--executor slurm: must be threads or ray"),
        (("--ray-address", "10.0.0.5:6379"), "--ray-address 10.0.0.5:6379 requires --executor ray"),
        (("--executor", "ray", "--engine", "tcp://a:2376"), "give only one of the two"),
        (("--executor", "ray", "--ray-address", "127.0.0.1:9"), "no Ray cluster answers at 127.0.0.1:9"),
    ],
)
def test_commands_refuse_it_and_write_nothing(
    more: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    ran = twinbench(*run_arguments("http://127.0.0.1:9/v1", tmp_path / "run", *more))
    assert ran.code in (1, 2)
    assert said in ran.err
    assert not (tmp_path / "run").exists()


def test_a_node_without_docker_says_so(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    nowhere = str(tmp_path / "docker.sock")
    actor = NodeActor(secret=b"", admitted=[], lease="", docker_socket=nowhere, janitor_source="")
    refused = actor.open()["refused"]
    assert refused.startswith(f"no Docker engine answers at {nowhere}")


def test_a_node_needs_no_twinbench() -> None:
    ray = pytest.importorskip("ray")
    from twinbench.cluster import nodes

    nodes._remote_class(ray)
    content = ray.cloudpickle.dumps(NodeActor)
    ran = subprocess.run([sys.executable, "-c", WITHOUT_TWINBENCH], input=content, capture_output=True, check=True)
    assert ran.stdout == b"NodeActor []\n"


def test_a_machine_is_measured() -> None:
    found = measure("/")
    assert found["free_disk_mib"]
    assert found["available_memory_mib"]
    assert measure("/nowhere/at/all")["free_disk_mib"] is None

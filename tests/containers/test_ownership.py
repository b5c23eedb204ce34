"""Whose a container is, and what ``dynamic gc`` removes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container

from tests.cli.commands import spawned, twinbench
from tests.containers.conftest import OpenSandbox
from tests.containers.running import SMALL, said
from tests.timing import until
from twinbench.containers.engine import Engine
from twinbench.containers.labels import NAMESPACE, NAMESPACE_VARIABLE, Lease, container_namespace, labels, new_name
from twinbench.containers.ownership import remove_older_executions
from twinbench.containers.sandbox import Sandbox

OWNER = """
import sys, time
from twinbench.containers.container import ContainerLimits
from twinbench.containers.engine import Engine
from twinbench.containers.sandbox import Sandbox

with Engine.connect() as engine, Sandbox(engine, sys.argv[1], "case", "a run", "a case") as sandbox:
    sandbox.run_command("while :; do date +%s%N >/alive; sleep 0.05; done &")
    print(sandbox.container.name, flush=True)
    time.sleep(600)
"""
DEAD = "999999@1.00"


@contextmanager
def labelled(engine: Engine, image: str, life_s: float = 600, **changed: str) -> Iterator[Container]:
    """A container of this process, with some of its labels changed; it was never started."""
    marks = labels(role="case", run="", case="", life_s=life_s) | {
        f"twinbench.{name}": value for name, value in changed.items()
    }
    container = engine.client.containers.create(image, ["true"], name=new_name("case"), labels=marks)
    try:
        yield container
    finally:
        if exists(engine, str(container.name)):
            container.remove(force=True)


def exists(engine: Engine, name: str) -> bool:
    return bool(engine.client.containers.list(all=True, filters={"name": name}, ignore_removed=True))


def told(ran: Any, name: str) -> list[dict[str, str]]:
    return [each for each in ran if each["name"] == name]


def test_what_a_killed_run_leaves_is_named_and_removed_and_nobody_elses(
    engine: Engine, base_image: str, open_sandbox: OpenSandbox
) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, base_image], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout, open_sandbox(case="mine") as opened:
        name = owner.stdout.readline().strip()
        try:
            assert told(twinbench("dynamic", "gc", "--dry-run", "--json").succeeded().json["abandoned"], name) == []
        finally:
            owner.kill()
            owner.wait()
        left = engine.client.containers.get(name)
        first = left.exec_run(["cat", "/alive"])[1]
        until(lambda: left.exec_run(["cat", "/alive"])[1] != first)  # what it ran goes on
        found = told(spawned("dynamic", "gc", "--dry-run", "--json").succeeded().json["abandoned"], name)
        assert found == [
            {
                "name": name,
                "role": "case",
                "run": "a run",
                "case": "a case",
                "why": "the process that made it has ended",
            }
        ]
        assert exists(engine, name)
        removed = spawned("dynamic", "gc", "--json").succeeded().json
        assert told(removed["removed"], name) == found
        assert removed["abandoned"] == []
        assert not exists(engine, name)
        assert said(opened, "echo mine is left alone") == "mine is left alone\n"
        assert told(twinbench("dynamic", "gc", "--json").succeeded().json["removed"], name) == []


def test_whose_deadline_has_passed_is_removed_though_its_owner_lives(engine: Engine, base_image: str) -> None:
    with labelled(engine, base_image, life_s=-1) as late, labelled(engine, base_image) as timely:
        removed = twinbench("dynamic", "gc", "--json").succeeded().json["removed"]
        assert [each["why"] for each in told(removed, str(late.name))] == ["its deadline has passed"]
        assert not exists(engine, str(late.name))
        assert exists(engine, str(timely.name))


def test_another_machines_are_left_alone_until_their_deadline(engine: Engine, base_image: str) -> None:
    other = partial(labelled, engine, base_image, machine="another", process=DEAD)
    with other() as theirs, other(life_s=-1) as late:
        twinbench("dynamic", "gc").succeeded()
        assert exists(engine, str(theirs.name))
        assert not exists(engine, str(late.name))


def test_a_number_that_was_given_to_another_process_since_is_not_its_owner(engine: Engine, base_image: str) -> None:
    reused = f"{os.getpid()}@1.00"
    with labelled(engine, base_image, process=reused) as old, labelled(engine, base_image, process="odd") as odd:
        twinbench("dynamic", "gc").succeeded()
        assert not exists(engine, str(old.name))
        assert not exists(engine, str(odd.name))


def test_containers_of_others_are_not_looked_at(engine: Engine, base_image: str) -> None:
    marks = {"twinbench.machine": "x", NAMESPACE: container_namespace()}
    foreign = engine.client.containers.create(base_image, ["true"], labels=marks)
    try:
        twinbench("dynamic", "gc").succeeded()
        assert exists(engine, str(foreign.name))
    finally:
        foreign.remove()


@pytest.mark.parametrize("theirs", ["another", ""])
def test_containers_of_another_namespace_are_left_to_those_who_are_in_it(
    theirs: str, engine: Engine, base_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = container_namespace()
    other = f"{mine}/{theirs}" if theirs else mine
    monkeypatch.setenv(NAMESPACE_VARIABLE, mine if theirs else f"{mine}/another")
    with labelled(engine, base_image, process=DEAD, namespace=other) as dead:
        assert twinbench("dynamic", "gc", "--json").succeeded().json == {"removed": [], "abandoned": []}
        assert exists(engine, str(dead.name))
        monkeypatch.setenv(NAMESPACE_VARIABLE, other)
        assert told(spawned("dynamic", "gc", "--json").succeeded().json["removed"], str(dead.name)) != []
        assert not exists(engine, str(dead.name))


def test_a_container_without_a_namespace_is_in_the_one_without_a_name(
    engine: Engine, base_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that was started before there were namespaces."""
    marks = labels(role="case", run="", case="", life_s=600) | {"twinbench.process": DEAD}
    with_label, without = ({**marks, NAMESPACE: ""}, {k: v for k, v in marks.items() if k != NAMESPACE})
    monkeypatch.delenv(NAMESPACE_VARIABLE)
    assert labels(role="case", run="", case="", life_s=600)[NAMESPACE] == ""
    for each in (with_label, without):
        container = engine.client.containers.create(base_image, ["true"], name=new_name("case"), labels=each)
        try:
            found = twinbench("dynamic", "gc", "--dry-run", "--json").succeeded().json["abandoned"]
            assert told(found, str(container.name)) != []
        finally:
            container.remove(force=True)


def test_the_table_says_what_was_removed(engine: Engine, base_image: str) -> None:
    with labelled(engine, base_image, process=DEAD, case="a-case") as dead:
        ran = twinbench("dynamic", "gc", "--format", "csv", "--dry-run").succeeded()
        assert f"{dead.name},case,,a-case,the process that made it has ended" in ran.text
        assert exists(engine, str(dead.name))
        assert "removed" in twinbench("dynamic", "gc").succeeded().text
        assert not exists(engine, str(dead.name))


def test_labels_name_no_machine_and_no_person() -> None:
    marks = labels(role="case", run="r", case="c", life_s=60)
    text = " ".join(marks.values())
    for secret in (os.uname().nodename, str(Path.home()), os.environ.get("USER", "no-such-user")):
        assert secret not in text.split()


def test_an_execution_of_a_run_removes_what_earlier_ones_left_and_nothing_else(engine: Engine, base_image: str) -> None:
    own, second = f"{os.getpid()}-a", Lease(f"{os.getpid()}-a", 2)
    leases = {"older": Lease(own, 1), "own": second, "another run's": Lease(f"{os.getpid()}-b", 1)}
    opened = {
        name: Sandbox(engine.with_lease(lease), base_image, role, limits=SMALL)
        for (name, lease), role in zip(leases.items(), ("grade", "case", "case"), strict=True)
    }
    for sandbox in opened.values():
        sandbox.__enter__()
    try:
        names = {name: str(sandbox.container.name) for name, sandbox in opened.items()}
        assert remove_older_executions(engine, second) == 1
        assert {name for name, container in names.items() if exists(engine, container)} == {"own", "another run's"}
        assert remove_older_executions(engine, second) == 0
    finally:
        for sandbox in opened.values():
            sandbox.__exit__(None, None, None)

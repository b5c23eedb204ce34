from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dynamic_track.grading.verdict_store import VerdictStore
from dynamic_track.tasks.images import prepare_images
from dynamic_track.tasks.sources import load_tasks
from dynamic_track.tasks.task import Task
from tests.cli.commands import twinbench
from tests.dynamic_track.live import SIX, Victims, victims
from tests.engine import alone_on_this_machine
from twinbench.containers.engine import Engine
from twinbench.storage.store import Store


@pytest.fixture(scope="session")
def rehearsal(engine: Engine, base_image: str) -> Sequence[Task]:
    """Six of the tasks of our own, two of each difficulty, with their images."""
    tasks = [task for task in load_tasks("rehearsal").tasks if task.id in SIX]
    with alone_on_this_machine("rehearsal-images"):
        assert prepare_images(engine, tasks, build_them=True) == {}
    return tasks


@pytest.fixture
def verdicts(tmp_path: Path) -> VerdictStore:
    return VerdictStore(Store(tmp_path / "store"))


@pytest.fixture(scope="session")
def _victims() -> Iterator[Victims]:
    """One for all tests: it takes seconds to load what a run needs."""
    with victims() as started:
        yield started


@pytest.fixture
def killing(_victims: Victims, engine: Engine) -> Iterator[Victims]:
    """Starts runs that are killed; in the end ``dynamic gc`` removes the containers that they left."""
    yield _victims
    _victims.end()
    twinbench("dynamic", "gc").succeeded()

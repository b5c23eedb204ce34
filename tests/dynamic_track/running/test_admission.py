"""Room for another case, and images that go when nobody needs them."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dynamic_track.running.admission import Admission, CaseImages
from dynamic_track.running.stopping import Stop, StoppedError, ask_to_stop
from dynamic_track.tasks.sources import load_tasks
from tests.containers.registry import registry
from tests.timing import HANG_S
from twinbench.containers.engine import Engine


@pytest.fixture(autouse=True)
def _looks_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynamic_track.running.admission._LOOK_AGAIN_S", 0.02)


def test_a_case_waits_while_memory_is_short_and_one_may_always_begin() -> None:
    available_mib, begun = [512], threading.Event()
    admission = Admission(1024, lambda: available_mib[0])

    def second() -> None:
        with admission.admit(Stop()):
            begun.set()

    with admission.admit(Stop()):  # the first may begin though memory is short
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not begun.wait(0.2)
        available_mib[0] = 2048
        assert begun.wait(HANG_S)
    waiting.join()


def test_who_waits_leaves_when_the_run_is_to_stop() -> None:
    admission, stop = Admission(1024, lambda: 0), Stop()
    found: list[Any] = []

    def second() -> None:
        try:
            with admission.admit(stop):
                found.append("begun")
        except StoppedError:
            found.append("stopped")

    with admission.admit(stop):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.05)
        stop.request()
        waiting.join(HANG_S)
    assert found == ["stopped"]


def test_another_process_asks_for_a_stop_with_a_file_and_an_old_one_counts_no_more(tmp_path: Path) -> None:
    ask_to_stop(tmp_path)
    stop = Stop(tmp_path)
    stop.raise_if_requested()
    ask_to_stop(tmp_path)
    time.sleep(0.6)
    with pytest.raises(StoppedError):
        stop.raise_if_requested()


def test_an_image_that_was_pulled_goes_with_its_last_case_and_others_stay(engine: Engine, base_image: str) -> None:
    task = load_tasks("rehearsal").tasks[0]
    with registry() as served:
        pulled = replace(task, image=served.image(), folder=None)
        present = replace(task, image=base_image, folder=None)
        lost = replace(task, image="127.0.0.1:9/lost/lost:1", folder=None)
        images = CaseImages(engine, [pulled, pulled, present, lost], build=False, evict=True)
        assert images.get(pulled) is None
        assert images.get(present) is None
        assert "could not pull image" in str(images.get(lost))
        images.release(pulled)
        assert engine.has_image(served.image())
        for each in (pulled, present, lost):
            images.release(each)
        assert not engine.has_image(served.image())
        assert engine.has_image(base_image)
        kept = CaseImages(engine, [pulled], build=False)
        assert kept.get(pulled) is None
        kept.release(pulled)
        assert engine.has_image(served.image())
        engine.remove_image(served.image())
        engine.remove_image(served.image())

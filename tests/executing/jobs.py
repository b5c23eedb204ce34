"""Work that processes of their own can import."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Work = Callable[[Any, None], Any]


def doubled(number: int, _place: None) -> int:
    return 2 * number


def slow_at_first(number: int, _place: None) -> int:
    time.sleep(0.3 if number == 0 else 0)
    return number


def odd_ones_fail(number: int, _place: None) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def marked(job: tuple[Path, int], _place: None) -> int:
    """Leaves a file for each time that it is begun."""
    folder, number = job
    (folder / f"{number}-{time.monotonic_ns()}").touch()
    return number


def written_down_and_waiting(job: tuple[Path, int], _place: None) -> int:
    """Leaves its process's number, and takes a minute; less where it is in the tests' own process."""
    folder, number = job
    (folder / f"begun-{number}").write_text(f"{os.getpid()}")
    until = time.monotonic() + 60
    while time.monotonic() < until and not (folder / "stop").exists():
        time.sleep(0.01)
    return number


def computing_without_end(folder: Path, _place: None) -> None:
    (folder / "begun").write_text(f"{os.getpid()}")
    while True:
        sum(range(1000))


def killed_at(number: int, _place: None) -> int:
    """The process that works on 2 is killed."""
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def leaving_at(number: int, _place: None) -> int:
    """The process that works on 2 ends without a word."""
    if number == 2:
        os._exit(3)
    return number


def exiting(number: int, _place: None) -> int:
    raise SystemExit(number)


def a_lock(_number: int, _place: None) -> Any:
    return threading.Lock()


class UnreadableError(Exception):
    """Can be pickled and not read again."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def unreadable(_number: int, _place: None) -> int:
    raise UnreadableError("one", "other")


def printing(number: int, _place: None) -> int:
    print("what nobody asked for" * 1000)
    return number


def environment(name: str, _place: None) -> str | None:
    return os.environ.get(name)


def process_number(_number: int, _place: None) -> int:
    return os.getpid()


def a_megabyte(content: bytes, _place: None) -> bytes:
    return content[::-1]

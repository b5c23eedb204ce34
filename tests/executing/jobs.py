"""Work that processes of their own can import."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

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


def reading(number: int, _place: None) -> tuple[int, str, bytes]:
    return number, sys.stdin.read(), os.read(0, 1)


def closing_standard_input(number: int, _place: None) -> int:
    sys.stdin.close()
    if number == 1:
        os.close(os.open(os.devnull, os.O_RDONLY))  # takes its number
    return number


def matching_without_end(folder: Path, _place: None) -> None:
    """Holds the interpreter lock for longer than anybody waits."""
    (folder / "begun").write_text(f"{os.getpid()}")
    re.match(r"(a+)+$", "a" * 40 + "b")


def stopping_itself(folder: Path, _place: None) -> None:
    (folder / "begun").write_text(f"{os.getpid()}")
    os.kill(os.getpid(), signal.SIGSTOP)


def copying_itself(number: int, _place: None) -> tuple[bool, int]:
    """The copy returns too."""
    copy = os.fork()
    if copy:
        os.waitpid(copy, 0)
    return copy != 0, number


def leaving_a_copy(folder: Path, _place: None) -> None:
    """Killed while its copy lives on."""
    copy = os.fork()
    if not copy:
        time.sleep(60)
        os._exit(0)
    (folder / "copy").write_text(f"{copy}")
    os.kill(os.getpid(), signal.SIGKILL)


class UnsayableError(BaseException):
    """Meets whoever describes it with an error of its own."""

    def __str__(self) -> str:
        raise ValueError("no words")


def unsayable(_number: int, _place: None) -> NoReturn:
    """Leaves a thread behind that would keep an orderly end waiting."""
    threading.Thread(target=time.sleep, args=(60,)).start()
    raise UnsayableError


def closing_answer_pipe(_number: int, _place: None) -> None:
    """Close what can be written to alone: a worker whose job pipe is closed as well may end by itself at once."""
    for descriptor in range(3, 100):
        with suppress(OSError):
            if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
                os.close(descriptor)
    time.sleep(60)


def _exit_when_read() -> NoReturn:
    raise SystemExit(7)


def _interrupt_when_read() -> NoReturn:
    raise KeyboardInterrupt


class ReadAs:
    """Calls something where it is read."""

    def __init__(self, called: Callable[[], object]) -> None:
        self.called = called

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return self.called, ()


def exiting_when_read(_number: int, _place: None) -> ReadAs:
    return ReadAs(_exit_when_read)


def interrupting_when_read(_number: int, _place: None) -> ReadAs:
    return ReadAs(_interrupt_when_read)


def names_of_main(_number: int, _place: None) -> list[str]:
    return [name for name in vars(sys.modules["__main__"]) if not name.startswith("_")]

"""What was appended is there after a kill, and what was changed afterwards is found and named."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.timing import HANG_S, cpu_s
from twinbench.calls.journal import JOURNAL_FILE, Journal, _depth, _Reader, read_journal
from twinbench.calls.packing import pack, unpack
from twinbench.calls.redaction import Secrets
from twinbench.errors import JournalError, TwinbenchError

SECRET = 'sk-or-v1-0123456789/abc+def="ä"\\end'  # noqa: S105 - of nobody


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a run keeps its journal."""
    return tmp_path / "run" / "journal"


def written(folder: Path, lines: int = 5) -> list[bytes]:
    """A journal with so many lines, closed again; its lines as they are on the disk."""
    with Journal.open(folder) as journal:
        for number in range(lines):
            journal.append("step", step=number, cost_usd=Decimal("0.10"), text=f"ä {number}")
    return (folder / JOURNAL_FILE).read_bytes().splitlines(keepends=True)


def test_what_was_appended_is_read_again_in_its_order(folder: Path) -> None:
    with Journal.open(folder) as journal:
        assert journal.head == (0, "0" * 64)
        assert journal.append("decision", step=1, candidate="a/b", score=0.5) == 1
        assert journal.append("settle", sync=True, cost_usd=Decimal("1E-7"), models=("x", None), path=Path("a/b")) == 2
        entries = list(journal.entries())
        assert [entry.fields for entry in entries] == [
            {"step": 1, "candidate": "a/b", "score": 0.5},
            {"cost_usd": "0.0000001", "models": ["x", None], "path": "a/b"},
        ]
        assert journal.head == (2, entries[1].sha256)
        assert entries[1].prev == entries[0].sha256
    read = read_journal(folder)
    assert list(read) == entries
    assert (read.note, read.torn, len(read), read[-1].kind) == (None, b"", 2, "settle")


def test_whoever_may_see_the_folder_may_read_a_journal(folder: Path) -> None:
    before = os.umask(0)
    try:
        written(folder)
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / JOURNAL_FILE).stat().st_mode) == 0o644


def test_a_journal_goes_on_where_it_was_closed(folder: Path) -> None:
    for number in range(1, 4):
        with Journal.open(folder) as journal:
            assert journal.append("x", n=number) == number
    assert [entry.number for entry in read_journal(folder)] == [1, 2, 3]


def test_a_line_is_json_that_any_tool_reads_and_hashes_itself(folder: Path) -> None:
    lines = written(folder)
    prev = "0" * 64
    for line in lines:
        record = json.loads(line)
        sha256 = record.pop("sha256")
        assert record["prev"] == prev
        body = json.dumps(record, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(body.encode()).hexdigest() == sha256
        prev = sha256


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(VALUES, max_size=4))
def test_any_json_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, values: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("journal")
    with Journal.open(folder, [SECRET]) as journal:
        for value in values:
            journal.append("x", value=value)
    assert [entry.fields["value"] for entry in read_journal(folder)] == values


def test_what_commands_print_comes_back_even_where_it_is_no_text(folder: Path) -> None:
    odd = b"\xff\xfe ok \x00\x1b[31m\r\n\xe2\x80\xa8".decode("utf-8", "surrogateescape")
    with Journal.open(folder, [SECRET]) as journal:
        journal.append("observation", output=odd, number=float("nan"), far=float("inf"))
    fields = read_journal(folder)[0].fields
    assert fields == {"output": odd, "number": "nan", "far": "inf"}


def test_what_has_no_form_is_refused_and_leaves_no_trace(folder: Path) -> None:
    with Journal.open(folder) as journal:
        with pytest.raises(TypeError, match="a journal cannot store a object"):
            journal.append("x", value=object())
        assert journal.append("x", value=1) == 1


@given(st.binary(max_size=2000))
def test_packing_loses_nothing(data: bytes) -> None:
    assert unpack(pack(data)) == data


@pytest.mark.parametrize("text", ["", "zlib:", "zlib:!!!", "zlib:AAAA", "plain", pack(b"x" * 100)[:-8]])
def test_what_was_not_packed_is_refused(text: str) -> None:
    with pytest.raises(JournalError, match="packed data"):
        unpack(text)


def test_a_large_response_is_small_in_the_journal(folder: Path) -> None:
    body = json.dumps({"choices": [{"text": "the same again " * 5000}]}).encode()
    with Journal.open(folder) as journal:
        journal.append("settle", response=body)
    assert (folder / JOURNAL_FILE).stat().st_size < len(body) / 20
    assert unpack(read_journal(folder)[0].fields["response"]) == body


# What was changed


def edited_field(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b'"0.10"', b'"0.01"'), *lines[3:]]


def edited_space(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b'":', b'": ', 1), *lines[3:]]


def edited_hash(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2][:-10] + b"0000000" + lines[2][-3:], *lines[3:]]


def forged(changed: Callable[[dict[str, Any]], object]) -> Callable[[list[bytes]], list[bytes]]:
    """The third line made anew from a changed record, with the right hash of that."""

    def change(lines: list[bytes]) -> list[bytes]:
        record = json.loads(lines[2])
        del record["sha256"]
        changed(record)
        body = json.dumps(record, sort_keys=True, separators=(",", ":"))
        sha256 = hashlib.sha256(body.encode()).hexdigest()
        return [*lines[:2], f'{body[:-1]},"sha256":"{sha256}"}}\n'.encode(), *lines[3:]]

    return change


NO_ENTRY = "line 3: not a journal line, though its hash matches"
TAMPERED: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "a field edited": (edited_field, "line 3: the line was edited: its hash does not match its content"),
    "a space added": (edited_space, "line 3: the line was edited"),
    "the hash edited": (edited_hash, "line 3: the line was edited"),
    "a line forged with its hash": (
        forged(lambda record: record["fields"].update(cost_usd="0.01")),
        "line 4: its prev is not the hash of the previous line",
    ),
    "a key that no line has": (forged(lambda record: record.update(more=1)), NO_ENTRY),
    "a key missing": (forged(lambda record: record.pop("kind")), NO_ENTRY),
    "another key in its place": (forged(lambda record: record.update(sort=record.pop("kind"))), NO_ENTRY),
    "fields that are a list": (forged(lambda record: record.update(fields=[])), NO_ENTRY),
    "a value nested deeper than any that is written": (
        forged(lambda record: record.update(fields={"value": json.loads("[" * 201 + "]" * 201)})),
        NO_ENTRY,
    ),
    "no JSON, though hashed": (
        lambda lines: [*lines[:2], b'{no,"sha256":"%s"}\n' % hashlib.sha256(b"{no}").hexdigest().encode(), *lines[3:]],
        NO_ENTRY,
    ),
    "a kind that is a number": (forged(lambda record: record.update(kind=3)), NO_ENTRY),
    "a number that is true": (forged(lambda record: record.update(number=True)), NO_ENTRY),
    "a previous hash that is null": (forged(lambda record: record.update(prev=None)), NO_ENTRY),
    "a line missing": (
        lambda lines: [*lines[:2], *lines[3:]],
        "line 3: the line has the number 4, not 3: lines before it are miss",
    ),
    "the first line missing": (
        lambda lines: lines[1:],
        "line 1: the line has the number 2, not 1: lines before it are missing",
    ),
    "two lines swapped": (
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        "line 2: the line has the number 3, not 2",
    ),
    "a line twice": (
        lambda lines: [*lines[:2], lines[1], *lines[2:]],
        "line 3: the line has the number 2, not 3: the line was moved",
    ),
    "a line of another journal": (
        lambda lines: [*lines[:2], b'{"number": 3}\n', *lines[3:]],
        "line 3: not a journal line",
    ),
    "a line that is no JSON": (lambda lines: [*lines[:2], b"hello\n", *lines[3:]], "line 3: not a journal line"),
    "an empty line": (lambda lines: [*lines[:2], b"\n", *lines[2:]], "line 3: not a journal line"),
    "the last line cut and ended": (lambda lines: [*lines[:-1], lines[-1][:40] + b"\n"], "line 5: not a journal line"),
}


@pytest.mark.parametrize("kind", TAMPERED)
def test_a_changed_journal_is_refused_with_file_and_line(folder: Path, kind: str) -> None:
    change, message = TAMPERED[kind]
    lines = written(folder)
    changed = change(lines)
    assert changed != lines
    (folder / JOURNAL_FILE).write_bytes(b"".join(changed))
    for refuse in (read_journal, Journal.open):
        with pytest.raises(JournalError) as refused:
            refuse(folder)
        assert str(refused.value).startswith(f"{folder / JOURNAL_FILE}, {message}")
    assert (folder / JOURNAL_FILE).read_bytes() == b"".join(changed)
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith("torn")) == []


def test_a_journal_that_is_refused_keeps_no_file_open(folder: Path) -> None:
    lines = written(folder)
    (folder / JOURNAL_FILE).write_bytes(b"".join([*lines[:2], *lines[3:]]))
    before = psutil.Process().num_fds()
    for _ in range(3):
        with pytest.raises(JournalError, match="lines before it are missing"):
            Journal.open(folder)
    assert psutil.Process().num_fds() == before
    (folder / JOURNAL_FILE).write_bytes(b"".join(lines))
    Journal.open(folder).close()


def test_a_line_of_the_largest_size_is_written_and_read_and_no_larger_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal.open(folder) as journal:
        journal.append("text", text="a" * 1000)
        size = (folder / JOURNAL_FILE).stat().st_size
        monkeypatch.setattr("twinbench.calls.journal.MOST_LINE_BYTES", size)
        journal.append("text", text="b" * 1000)
        with pytest.raises(JournalError, match="a line of kind text would be larger than"):
            journal.append("text", text="c" * 1001)
        journal.append("text", text="d" * 1000)
    assert len(read_journal(folder)) == 3
    monkeypatch.setattr("twinbench.calls.journal.MOST_LINE_BYTES", size - 1)
    with pytest.raises(JournalError, match="line 1: the line is larger than"):
        read_journal(folder)


def test_every_single_byte_counts(folder: Path) -> None:
    content = b"".join(written(folder, 2))
    for place in range(len(content) - 1):  # without the last line's end the line is a torn one
        changed = bytearray(content)
        changed[place] ^= 1
        (folder / JOURNAL_FILE).write_bytes(changed)
        with pytest.raises(JournalError, match=r"line [12]: "):
            read_journal(folder)


def test_lines_cut_off_the_end_show_against_the_head(folder: Path) -> None:
    with Journal.open(folder) as journal:
        for number in range(5):
            journal.append("x", n=number)
        head = journal.head
    lines = (folder / JOURNAL_FILE).read_bytes().splitlines(keepends=True)
    (folder / JOURNAL_FILE).write_bytes(b"".join(lines[:-1]))
    last = read_journal(folder)[-1]
    assert (last.number, last.sha256) != head


def test_a_missing_journal_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"there is no journal: .*journal\.jsonl is missing"):
        read_journal(tmp_path)


# Kills


@pytest.mark.parametrize("left", [1, 40, 200, -1])
def test_a_torn_last_line_is_cut_off_and_kept_beside(folder: Path, left: int) -> None:
    lines = written(folder)
    torn = lines[-1][:left]
    (folder / JOURNAL_FILE).write_bytes(b"".join(lines[:-1]) + torn)

    read = read_journal(folder)
    assert (len(read), read.torn) == (4, torn)
    assert read.note is not None
    assert read.note.startswith(f"{folder / JOURNAL_FILE}, line 5: the line is incomplete")

    with Journal.open(folder) as journal:
        assert journal.torn == folder / "torn-5.bin"
        assert journal.torn.read_bytes() == torn
        assert len(journal.entries()) == 4
        assert journal.append("again") == 5
    assert [entry.kind for entry in read_journal(folder)] == ["step"] * 4 + ["again"]


def test_no_torn_line_replaces_another(folder: Path) -> None:
    written(folder, 2)
    kept = []
    for part in (b"first", b"second", b"third"):
        with (folder / JOURNAL_FILE).open("ab") as file:
            file.write(part)
        with Journal.open(folder) as journal:
            assert journal.torn is not None
            kept.append(journal.torn)
    assert [path.name for path in kept] == ["torn-3.bin", "torn-3-1.bin", "torn-3-2.bin"]
    assert [path.read_bytes() for path in kept] == [b"first", b"second", b"third"]


WRITER = """
import sys
from pathlib import Path
from twinbench.calls.journal import Journal

journal = Journal.open(Path(sys.argv[1]))
number = journal.head[0]
while True:
    number = journal.append("step", text="x" * int(sys.argv[2]), sync=number % 7 == 0)
    print(number, flush=True)
"""


def writer(folder: Path, size: int) -> subprocess.Popen[bytes]:
    """A process that appends until it is killed, and says after each line that it returned."""
    return subprocess.Popen([sys.executable, "-c", WRITER, folder, str(size)], stdout=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_killed_process_loses_nothing_that_it_appended(folder: Path, size: int) -> None:
    dice = random.Random(size)  # noqa: S311 - no secret
    lines = 0
    for _ in range(3):
        process = writer(folder, size)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(dice.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        told = process.stdout.read().splitlines()
        process.wait(HANG_S)
        process.stdout.close()
        lines = len(read_journal(folder))
        assert lines >= (int(told[-1]) if told else 1)
    with Journal.open(folder) as journal:
        assert journal.append("after") == lines + 1


def test_a_second_process_is_refused_until_the_first_is_gone(folder: Path) -> None:
    process = writer(folder, 10)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(JournalError, match="another process is writing the journal"):
        Journal.open(folder)
    process.send_signal(signal.SIGSTOP)
    assert len(read_journal(folder)) > 0
    process.kill()
    process.wait(HANG_S)
    process.stdout.close()
    Journal.open(folder).close()


def test_a_journal_is_open_once_in_a_process_too(folder: Path) -> None:
    with Journal.open(folder), pytest.raises(JournalError, match="another process is writing the journal"):
        Journal.open(folder)
    with Journal.open(folder) as journal:
        journal.append("x")
        journal.close()
        with pytest.raises(JournalError, match="it is closed"):
            journal.append("x")
        with pytest.raises(JournalError, match="it is closed"):
            journal.sync()


def test_threads_append_whole_lines_and_share_their_syncs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = 0
    fsync = os.fsync

    def counted(fd: int) -> None:
        nonlocal syncs
        syncs += 1
        time.sleep(0.002)
        fsync(fd)

    with Journal.open(folder) as journal:
        monkeypatch.setattr(os, "fsync", counted)
        with ThreadPoolExecutor(16) as pool:
            numbers = list(
                pool.map(lambda n: journal.append("x", sync=n % 2 == 0, n=n, text="y" * n), range(400), timeout=HANG_S)
            )
        monkeypatch.undo()
    read = read_journal(folder)
    assert sorted(numbers) == [entry.number for entry in read] == list(range(1, 401))
    assert [read[number - 1].fields["n"] for number in numbers] == list(range(400))
    assert 1 <= syncs < 150


def test_a_sync_with_nothing_new_costs_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal.open(folder) as journal:
        journal.append("x", sync=True)
        monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("nothing was to be flushed"))
        journal.sync()
        monkeypatch.undo()


def test_an_interrupt_in_the_middle_of_a_line_leaves_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def interrupted(fd: int, data: memoryview) -> int:
        write(fd, data[:30])
        raise KeyboardInterrupt

    with Journal.open(folder) as journal:
        journal.append("before")
        monkeypatch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            journal.append("lost")
        monkeypatch.undo()
        assert journal.append("after") == 2
    assert [entry.kind for entry in read_journal(folder)] == ["before", "after"]


# Disks


def test_a_part_of_a_line_that_cannot_be_cut_off_ends_the_writing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with Journal.open(folder) as journal:
        journal.append("first")
        monkeypatch.setattr(os, "write", failing)
        monkeypatch.setattr(os, "ftruncate", failing)
        with pytest.raises(JournalError, match="Input/output error"):
            journal.append("second")
        monkeypatch.undo()
        with pytest.raises(JournalError, match="a line was written in part only"):
            journal.append("third")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MiB."""
    mount = shutil.which("mount")
    if not sys.platform.startswith("linux") or mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs Linux and root")
    point = tmp_path / "disk"
    point.mkdir()
    tried = subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", point], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {tried.stderr!r}")
    try:
        yield point
    finally:
        subprocess.run(["umount", "--lazy", point], check=True)


def test_a_full_disk_is_told_and_leaves_whole_lines(disk: Path) -> None:
    folder = disk / "journal"
    filler = disk / "filler"
    with Journal.open(folder) as journal:
        journal.append("before")
        filler.write_bytes(bytes(800_000))
        with pytest.raises(JournalError, match=r"cannot write .*journal\.jsonl \(No space left on device\)") as refused:
            journal.append("large", text="x" * 500_000)
        assert isinstance(refused.value, TwinbenchError)
        assert journal.append("small") == 2
        filler.unlink()
        assert journal.append("large", text="x" * 500_000) == 3
    assert [entry.kind for entry in read_journal(folder)] == ["before", "small", "large"]


LIMITED = """
import resource, sys
from pathlib import Path
from twinbench.calls.journal import Journal
from twinbench.errors import JournalError

with Journal.open(Path(sys.argv[1])) as journal:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    journal.append("before")
    try:
        journal.append("large", text="x" * 5000)
    except JournalError as error:
        print(error)
    print(journal.append("small"))
"""


def test_a_file_size_limit_is_like_a_full_disk(folder: Path) -> None:
    pytest.importorskip("resource", reason="this system has no limit on file sizes")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, folder], capture_output=True, text=True, timeout=HANG_S, check=True
    )
    assert done.stdout == f"cannot write {folder / JOURNAL_FILE} (File too large)\n2\n"
    assert [entry.kind for entry in read_journal(folder)] == ["before", "small"]


def test_a_disk_that_does_not_flush_ends_the_writing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with Journal.open(folder) as journal:
        monkeypatch.setattr(os, "fsync", failing)
        with pytest.raises(JournalError, match=r"\(Input/output error\)"):
            journal.append("x", sync=True)
        monkeypatch.undo()
        with pytest.raises(JournalError, match="an fsync failed before"):
            journal.append("x")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"cannot write .*file/journal/journal\.jsonl \(Not a directory\)"):
        Journal.open(tmp_path / "file" / "journal")


# Secrets


def forms(secret: str) -> dict[str, str]:
    data = secret.encode()
    escaped = json.dumps(secret)[1:-1]
    return {
        "plain": secret,
        "JSON": escaped,
        "JSON with its own characters": json.dumps(secret, ensure_ascii=False)[1:-1],
        "JSON in JSON": json.dumps(escaped)[1:-1],
        "JSON with escaped slashes": escaped.replace("/", "\\/"),
        "JSON, every character in digits": "".join(rf"\u{ord(char):04x}" for char in secret),
        "JSON, in capital digits": "".join(rf"\u{ord(char):04X}" for char in secret),
        "JSON, one character in digits": rf"\u{ord(secret[0]):04x}{json.dumps(secret[1:])[1:-1]}",
        "JSON within JSON, in digits": "".join(rf"\\u{ord(char):04x}" for char in secret),
        "JSON, every other character": "".join(
            rf"\u{ord(char):04X}" if place % 2 else json.dumps(char)[1:-1] for place, char in enumerate(secret)
        ),
        "URL": quote(secret, safe=""),
        "URL path": quote(secret),
        "form": quote_plus(secret),
        "URL in both": quote(secret, safe="").replace("%2F", "%2f").replace("%3D", "%3d"),
        "base64": base64.b64encode(data).decode(),
        "base64 for URLs": base64.urlsafe_b64encode(data).decode(),
        "basic auth": base64.b64encode(b"user:" + data).decode(),
        "bearer": base64.b64encode(b"k:" + data + b";rest").decode(),
    }


@pytest.mark.parametrize("form", forms(SECRET))
@pytest.mark.parametrize("secret", [SECRET, "hunter2"])
def test_no_form_of_a_secret_reaches_the_disk(folder: Path, form: str, secret: str) -> None:
    text = forms(secret)[form]
    with Journal.open(folder, ["", "  ", "other-secret", secret]) as journal:
        journal.append("observation", output=f"KEY={text};", deep=[{"a": (text, {text: 1})}], path=Path("x") / text)
        journal.append("settle", response=f"<{text}>".encode(), by_hand=pack(f"<{text}>".encode()))
        journal.append(f"kind {text}")
    first, second, third = read_journal(folder)
    for shown in (first.fields["output"], first.fields["deep"][0]["a"][0], third.kind):
        assert "[secret]" in shown
    for name in ("response", "by_hand"):
        assert b"[secret]" in unpack(second.fields[name])
    on_disk = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    everything = on_disk + unpack(second.fields["response"]) + unpack(second.fields["by_hand"])
    assert secret.encode() not in everything
    for written_form in {text, json.dumps(text)[1:-1]}:
        core = written_form[3:-3] if "ba" in form else written_form
        assert core.encode() not in everything


def test_a_long_run_of_backslashes_is_read_in_no_time() -> None:
    """In quadratic time this would take hours, and no other thread would run."""
    text = "\\" * 1_000_000 + "u0041"
    assert Secrets([SECRET]).redact(text) == text
    assert Secrets([SECRET]).redact_bytes(text.encode()) == text.encode()


def test_what_stands_in_a_keys_place_is_no_secret(folder: Path) -> None:
    with Journal.open(folder, ["EMPTY", "none", "x"]) as journal:
        journal.append("x", text="none of the EMPTY boxes", packed_by_hand=pack(b"none"))
    assert read_journal(folder)[0].fields == {"text": "none of the EMPTY boxes", "packed_by_hand": pack(b"none")}


@pytest.mark.slow
def test_appending_takes_little_more_than_packing_and_hashing(folder: Path) -> None:
    body = json.dumps([random.Random(n).random() for n in range(3000)]).encode()  # noqa: S311 - no secret
    output = "line of output\n" * 2000

    def pack_and_hash() -> None:
        for _ in range(20):
            zlib.compress(body)
            hashlib.sha256(json.dumps({"output": output}).encode()).hexdigest()

    with Journal.open(folder, [SECRET]) as journal:

        def append() -> None:
            for step in range(20):
                journal.append("settle", step=step, response=body, output=output)

        assert cpu_s(append) < 10 * cpu_s(pack_and_hash)  # it takes about as long


def test_a_reader_ends_though_the_journal_grows(folder: Path) -> None:
    with Journal.open(folder) as journal:

        def append() -> None:
            for _ in range(400):
                journal.append("x", text="y" * 5000)

        thread = threading.Thread(target=append)
        thread.start()
        seen: list[int] = []
        while thread.is_alive():
            seen += [len(journal.entries()), len(read_journal(folder))]
        thread.join()
        seen.append(len(read_journal(folder)))
    assert seen == sorted(seen)
    assert seen[-1] == 400


def test_a_reader_stops_where_the_journal_ended_when_it_began(folder: Path) -> None:
    with Journal.open(folder) as journal:
        journal.append("first", text="y" * 100_000)
        reader = iter(_Reader(folder / JOURNAL_FILE))
        assert next(reader).kind == "first"
        journal.append("second")
        assert list(reader) == []
        assert len(read_journal(folder)) == 2


def test_the_depth_of_a_line_is_that_of_its_deepest_value() -> None:
    """Siblings before it do not hide it, and brackets in texts are none."""
    many = b"[]," * 300
    assert _depth(b"[" + many + b"[" * 70 + b"]" * 70 + b"]") == 71
    assert _depth(b'{"a":' + b"[" * 70 + b"]" * 70 + b',"b":[' + many + b"0]}") == 71
    assert _depth(b'["' + b"[" * 300 + b'"]') == 1
    assert _depth(b"[" * 20 + b"]" * 20) == 0, "too few to matter"


@pytest.mark.parametrize("what", ["plain", "half of a pair: \ud83d"])
def test_what_is_written_is_read_however_deep_it_is_nested(tmp_path: Path, what: str) -> None:
    """Python's own parser reads what the fast one refuses; together they read all that is written."""
    value: Any = what
    for _ in range(190):
        value = [value]
    with Journal.open(tmp_path) as journal:
        for _ in range(10):
            value = [value]
            journal.append("deep", value=value)
        with pytest.raises(JournalError, match="nested more than 200 levels deep"):
            journal.append("deep", value=[value])
    assert [entry.kind for entry in read_journal(tmp_path)] == ["deep"] * 10
    assert read_journal(tmp_path)[-1].fields["value"] == value

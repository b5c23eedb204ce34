"""Bombs and endless lines: refused by their size, which is named, while memory stays flat."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from static_track.banks.importing import read_bank
from tests.banks import a_row
from tests.cli.commands import Ran, ended
from tests.cli.forked import ForkedCommand
from tests.dynamic_track.tasks.task_rows import a_row as a_task
from tests.dynamic_track.tasks.task_rows import write_repo
from tests.examples import thinned
from twinbench.calls.journal import Journal, read_journal
from twinbench.calls.packing import unpack
from twinbench.errors import JournalError
from twinbench.reading import input_files, strict_json
from twinbench.reading.input_files import MAX_ROW_BYTES
from twinbench.reading.numbered import NumberedRow
from twinbench.reading.rows import file_rows
from twinbench.storage.store import Store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")

SIZE = 3 * 2**30
PART = 64 * 2**20
MOST_MIB = 1536
"""Half of what is not to be kept. What a command loads takes a tenth of it; DuckDB may take two thirds."""


def run_measured(*arguments: str | Path, stdin: Path | None = None) -> Ran:
    """Run a command; it must stay below the bound of memory."""
    with Path(stdin or os.devnull).open("rb") as given, ForkedCommand(arguments, stdin=given) as command:
        ran = ended(command)
    assert command.peak_kib // 1024 < MOST_MIB, ran.err
    return ran


def sparse(path: Path, start: bytes = b"") -> Path:
    """A file of 3 GiB that takes no place on the disk: zeros behind its start."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(start)
        file.truncate(SIZE)
    return path


def bomb(path: Path, start: bytes, part: bytes, size: int = SIZE) -> Path:
    """A file of gzip that unpacks to its start and then to the same part again and again."""
    member = gzip.compress(part)
    with path.open("wb") as file:
        file.write(gzip.compress(start))
        for _ in range(size // len(part)):
            file.write(member)
    assert path.stat().st_size < size / 100
    return path


ROW = json.dumps(a_row()).encode() + b"\n"
ZEROS = bytes(PART)
LETTERS = b"a" * PART
BLANK_LINES = (b" " * 1023 + b"\n") * (PART // 1024)
TOO_LONG = "is larger than 64 MiB, the limit of a row"
A_BOMB = "expands to more than 512 MiB, 200 times its compressed size (possible decompression bomb)"
NO_DOCUMENT = "is larger than 256 MiB, the limit"

ROWS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "one line": (lambda folder: sparse(folder / "a.jsonl"), f", line 1: {TOO_LONG}"),
    "a second line": (lambda folder: sparse(folder / "a.jsonl", ROW), f", line 2: {TOO_LONG}"),
    "one line, packed": (lambda folder: bomb(folder / "a.jsonl.gz", ROW, ZEROS), f", line 2: {TOO_LONG}"),
    "blank lines, packed": (lambda folder: bomb(folder / "a.jsonl.gz", ROW, BLANK_LINES), A_BOMB),
    "a list of one text": (
        lambda folder: bomb(folder / "a.json", b'["', LETTERS),
        ", row 1: a row is larger than 64 MiB, the limit",
    ),
    "a list that never begins": (lambda folder: bomb(folder / "a.json", b"", BLANK_LINES), A_BOMB),
    "zeros in place of a list": (lambda folder: sparse(folder / "a.json"), ": not JSON: Expecting value at column 1"),
}


@pytest.mark.parametrize(("make", "words"), thinned(ROWS.values(), 2), ids=ROWS.keys())
def test_rows_beyond_all_bounds_are_refused(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    path = make(tmp_path)
    ran = run_measured("bank", "validate", path)
    assert ran.code == 1
    assert ran.err.startswith(str(path))
    assert words in ran.err


@pytest.mark.parametrize("packed", [False, True])
def test_predictions_and_tasks_are_read_within_the_same_bounds(
    embedded_store: Store, tmp_path: Path, *, packed: bool
) -> None:
    path = bomb(tmp_path / "a.jsonl.gz", b"", ZEROS) if packed else sparse(tmp_path / "a.jsonl")
    for command in (
        ("static", "score", "--predictions", path, "--store", embedded_store.root),
        ("dynamic", "tasks", "--tasks", path),
    ):
        ran = run_measured(*command)
        assert ran.code == 1
        assert ran.err.startswith(f"error: {path}, line 1: {TOO_LONG}")


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input_without_an_end_is_refused(tmp_path: Path, embedded_store: Store, *, packed: bool) -> None:
    endless = bomb(tmp_path / "zeros.gz", b"", ZEROS) if packed else Path("/dev/zero")
    for command in (
        ("bank", "import", "-", "--name", "new", "--store", tmp_path / "store"),
        ("static", "score", "--predictions", "-", "--store", embedded_store.root),
    ):
        ran = run_measured(*command, stdin=endless)
        assert ran.code == 1
        assert f"standard input, line 1: {TOO_LONG}" in ran.err


PATCHES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "predictions of one line": (lambda folder: sparse(folder / "a.jsonl"), f", line 1: {TOO_LONG}"),
    "predictions as a document": (lambda folder: sparse(folder / "a.json"), f": {NO_DOCUMENT}"),
    "predictions as a document, packed": (
        lambda folder: bomb(folder / "a.json", b'{"a": "', LETTERS),
        f": {NO_DOCUMENT}",
    ),
    "a patch": (
        lambda folder: sparse(folder / "a.diff"),
        ": is larger than 64 MiB, the limit",
    ),
    "a device": (lambda _: Path("/dev/zero"), ": is larger than 64 MiB, the limit"),
}


@pytest.mark.parametrize(("make", "words"), PATCHES.values(), ids=PATCHES.keys())
def test_patches_beyond_all_bounds_are_refused(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    path = make(tmp_path)
    kind = ("--predictions", path) if "json" in path.name else ("--patch", path, "--case", "acme__rocket-1")
    ran = run_measured("dynamic", "grade", *kind)
    assert ran.code == 1
    assert ran.err.startswith(f"error: {path}{words}")


def test_a_patch_from_standard_input_without_an_end_is_refused() -> None:
    ran = run_measured("dynamic", "grade", "--patch", "-", "--case", "acme__rocket-1", stdin=Path("/dev/zero"))
    assert ran.code == 1
    assert ran.err.startswith("error: standard input: is larger than 64 MiB")


@pytest.mark.parametrize("packed", [False, True])
def test_a_trajectory_beyond_all_bounds_is_refused_and_others_are_not(tmp_path: Path, *, packed: bool) -> None:
    name = f"runs/a.traj.json{'.gz' if packed else ''}"
    (tmp_path / "runs").mkdir()
    path = bomb(tmp_path / name, b'{"info": "', LETTERS) if packed else sparse(tmp_path / name)
    for command in (
        ("bank", "import", tmp_path / "runs", "--format", "mini-swe-agent", "--name", "new", "--store", tmp_path / "s"),
        ("dynamic", "import", tmp_path / "runs", "--run", tmp_path / "run"),
    ):
        ran = run_measured(*command)
        assert ran.code == 1
        assert f"{path}: {NO_DOCUMENT}" in ran.err


@pytest.mark.parametrize("file", ["gold.patch", "tests.json", "task.yaml"])
def test_a_file_of_a_task_beyond_all_bounds_is_refused(tmp_path: Path, file: str) -> None:
    repo = write_repo(tmp_path, [a_task()])
    path = sparse(repo / "tasks" / "acme__rocket-1" / file)
    ran = run_measured("dynamic", "tasks", "--tasks", repo)
    assert ran.code == 1
    assert f"{path}: is larger than 64 MiB" in ran.err


def test_a_manifest_beyond_all_bounds_is_refused(tmp_path: Path) -> None:
    path = sparse(tmp_path / "pool.toml")
    ran = run_measured("pool", "show", path)
    assert ran.code == 1
    assert f"{path}: is larger than 4 MiB" in ran.err


def test_a_journal_beyond_all_bounds_is_refused(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.append("line", value=1)
    path = tmp_path / "journal.jsonl"
    os.truncate(path, SIZE)
    code = f"""if True:
        from pathlib import Path
        from twinbench.calls.journal import read_journal
        from twinbench.errors import JournalError
        try:
            read_journal(Path({str(tmp_path)!r}))
        except JournalError as error:
            print(error)
        print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
    """
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=600, check=True).stdout.decode()
    assert said.startswith(f"{path}, line 2: the line is larger than 128 MiB, the limit of a journal line")
    assert int(said.split()[-2]) // 1024 < MOST_MIB


def test_a_journal_writes_no_line_that_it_would_not_read(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.append("line", value=1)
        with pytest.raises(JournalError, match="a line of kind large would be larger than 128 MiB"):
            journal.append("large", value="a" * (128 * 2**20))
        journal.append("line", value=2)
    assert [entry.fields["value"] for entry in read_journal(tmp_path)] == [1, 2]


def test_what_a_journal_holds_packed_is_not_unpacked_beyond_all_bounds() -> None:
    code = """if True:
        import base64, zlib
        from twinbench.calls.packing import unpack
        from twinbench.errors import JournalError
        packer = zlib.compressobj(1)
        start = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
        again = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
        data = start + again * (3 * 2**10 - 1)  # no block refers to an earlier one, so each can stand again and again
        try:
            unpack("zlib:" + base64.b64encode(data).decode())
        except JournalError as error:
            print(error)
        print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
    """
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=600, check=True).stdout.decode()
    assert said.startswith("packed data is larger than the limit")
    assert int(said.split()[-2]) // 1024 < MOST_MIB
    with pytest.raises(JournalError, match="cut short"):
        unpack("zlib:eJw=")


def one_long_text(path: Path) -> None:
    size = 17 * PART
    places = pa.py_buffer(b"".join(place.to_bytes(8, "little") for place in (0, size)))
    text = pa.Array.from_buffers(pa.large_string(), 1, [None, places, pa.py_buffer(bytes(size))])
    table = pa.table({"id": ["a"], "messages": text})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_statistics=False)


def one_text_in_every_row(path: Path) -> None:
    text = pa.DictionaryArray.from_arrays(
        pa.array([0] * 50_000, pa.int32()), pa.array([LETTERS[: 60 * 2**20].decode()])
    )
    pq.write_table(pa.table({"id": list(map(str, range(50_000))), "messages": text}), path, compression="zstd")


def one_text_in_every_message(path: Path) -> None:
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int32()), pa.array([LETTERS[: 2**22].decode()]))
    message = pa.StructArray.from_arrays([text], ["content"])
    messages = pa.ListArray.from_arrays(pa.array(range(0, 50_001, 2), pa.int32()), message)
    pq.write_table(pa.table({"id": list(map(str, range(25_000))), "messages": messages}), path, compression="zstd")


PARQUET: dict[str, tuple[Callable[[Path], None], str]] = {
    "one text in every message": (one_text_in_every_message, "needs more than 1,024 MiB of memory"),
    "one long text": (one_long_text, "needs more than 1,024 MiB of memory"),
    "one text in every row": (one_text_in_every_row, A_BOMB),
}


@pytest.mark.parametrize(("make", "words"), thinned(PARQUET.values(), 3), ids=PARQUET.keys())
def test_a_parquet_file_beyond_all_bounds_is_refused(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    path = tmp_path / "a.parquet"
    make(path)
    ran = run_measured("bank", "validate", path)
    assert ran.code == 1
    assert ran.err.startswith(str(path))
    assert words in ran.err


@pytest.mark.parametrize("name", thinned(["a.jsonl", "a.jsonl.gz", "a.json"], 3))
def test_a_row_just_within_the_bound_is_read(tmp_path: Path, name: str) -> None:
    text = "x" * (MAX_ROW_BYTES - 20)
    line = json.dumps({"text": text}).encode()
    assert MAX_ROW_BYTES - 20 < len(line) <= MAX_ROW_BYTES
    content = line + b"\n" + line if "jsonl" in name else b"[" + line + b",\n" + line + b"]"
    path = tmp_path / name
    path.write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    found = list(file_rows(path))
    assert [isinstance(each, NumberedRow) and each.row["text"] == text for each in found] == [True, True]


def test_what_is_packed_as_well_as_banks_are_may_be_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_files, "MAX_UNPACKED_BYTES", 2**20)
    noise = os.urandom(2**10).hex()
    lines = b"".join(b'{"id": "%d", "x": "%s"}\n' % (number, noise.encode()) for number in range(5000))
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(lines))
    assert len(lines) > 4 * path.stat().st_size > 0
    assert sum(isinstance(each, NumberedRow) for each in file_rows(path)) == 5000


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_row_of_too_many_values_is_refused_and_commas_in_texts_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert strict_json.MAX_VALUES == 4_000_000
    monkeypatch.setattr(strict_json, "MAX_VALUES", most := 40_000)
    start, end = (b"[", b"]") if name == "a.json" else (b"", b"")
    path = tmp_path / name
    path.write_bytes(start + b"[" + b"0," * (2 * most + 1) + b"0]" + end)
    (refused,) = file_rows(path)
    assert "has more than 40,000 values" in str(refused)
    path.write_bytes(start + b'["' + b',\\"' * (2 * most + 1) + b'"]' + end)
    (read,) = file_rows(path)
    assert isinstance(read, NumberedRow)


def test_a_row_that_comes_again_and_again_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(ROW * 5000)
    _, parsed = read_bank(str(path))
    assert len(parsed.rows) == 1
    assert len(parsed.problems) == 1002  # two a row, and then no more is read


def test_a_file_of_another_kind_is_not_read_to_its_end(embedded_store: Store, tmp_path: Path) -> None:
    path = bomb(tmp_path / "a.jsonl.gz", b"", b"{}\n" * (PART // 3))  # of a billion lines, each is wrong
    plain = tmp_path / "a.jsonl"
    path.rename(plain)  # what is packed is known by its content
    for command in (
        ("bank", "validate", plain),
        ("static", "score", "--predictions", plain, "--store", embedded_store.root),
        ("dynamic", "tasks", "--tasks", plain),
        ("dynamic", "grade", "--predictions", plain),
    ):
        ran = run_measured(*command)
        assert ran.code == 1, command
        assert f"{plain}, line 1" in ran.err

"""Archives of submissions: the same bytes for the same content, and nothing that an archive claims does harm."""

from __future__ import annotations

import json
import os
import stat
import struct
import tracemalloc
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.submissions.handing_in import failed, reasons, verify, zip_of
from twinbench.errors import ContentError
from twinbench.submissions.archive import ArchiveError, open_archive, write_archive
from twinbench.submissions.manifest import MANIFEST_FILE, SubmissionManifest
from twinbench.submissions.sampling import draw


def names_of(path: Path) -> list[str]:
    with open_archive(path) as archive:
        return list(archive.sizes)


def refusal(path: Path) -> str:
    with pytest.raises(ArchiveError) as refused, open_archive(path):
        pass
    return str(refused.value)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content" * 1000)
    one, other = tmp_path / "one.zip", tmp_path / "other.zip"
    write_archive(one, {"b/file": tmp_path / "file", "a": b"text"})
    os.utime(tmp_path / "file", (0, 0))
    (tmp_path / "file").chmod(0o600)
    write_archive(other, {"a": b"text", "b/file": tmp_path / "file"})
    assert one.read_bytes() == other.read_bytes()
    assert names_of(one) == ["a", "b/file"]
    with open_archive(one) as archive:
        archive.extract("b", tmp_path / "out")
    assert (tmp_path / "out/file").read_bytes() == b"content" * 1000


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/etc/evil", "a//b", "./a", "a/.", "C:/evil", "a\\b", "x" * 300, "a\x1b[31m", "a\nb"],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    path = zip_of(tmp_path / "a.zip", [(name, b"x")])
    assert "a name in it" in refusal(path)
    assert failed(verify(path)) == {"archive"}
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR])
def test_what_is_no_plain_file_is_refused(tmp_path: Path, kind: int) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (kind | 0o777) << 16
    assert "not a regular file" in refusal(zip_of(tmp_path / "a.zip", [(entry, b"/etc/passwd")]))


@pytest.mark.parametrize("names", [("a", "a"), ("a", "A"), ("a", "a/b"), ("A", "a/b"), ("a/b/c", "a/b")])
def test_a_name_stands_once_and_is_a_file_or_a_folder(tmp_path: Path, names: tuple[str, str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = zip_of(tmp_path / "a.zip", [(name, b"x") for name in names])
    assert ": is in it twice" in refusal(path) or "is a file, and no folder" in refusal(path)


def test_other_packing_is_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("a")
    entry.compress_type = zipfile.ZIP_BZIP2
    assert "packed in a way" in refusal(zip_of(tmp_path / "a.zip", [(entry, b"x")]))


def test_a_bomb_is_refused_by_what_it_claims(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as file:
        for _ in range(600):
            file.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    assert "a file may have 512 MiB" in refusal(path)


def test_an_entry_gives_no_more_than_it_claims(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "a.zip", [("a", bytes(10_000_000))])
    data = bytearray(path.read_bytes())
    place = data.rfind(b"PK\x01\x02")
    struct.pack_into("<L", data, place + 24, 10)  # ten bytes, it says
    path.write_bytes(data)
    with open_archive(path) as archive, pytest.raises(ArchiveError, match="damaged"):
        archive.read("a", 10)


def test_a_million_members_are_counted_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    entry = struct.Struct("<4s6H3L5H2L").pack(b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    for count in (1_000_000, 40_000):
        directory = entry * count
        said = min(count, 0xFFFF) if count > 0xFFFF else 100
        path.write_bytes(directory + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, said, said, len(directory), 0, 0))
        tracemalloc.start()
        told = refusal(path)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "may have 50,000" in told or "does not fit its number of files" in told
        assert most < 40 * 2**20


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06", b"PK\x05\x06" + bytes(18) + b"more"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    assert refusal(path)
    assert failed(verify(path)) == {"archive"}


@given(data=st.data())
def test_a_damaged_archive_is_refused_in_words(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.zip"
    write_archive(path, {"a": b"some text" * 20, "b/c": bytes(300)})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with suppress(ArchiveError), open_archive(path) as archive:
        for name in archive.sizes:
            archive.read(name, 10_000)


def test_there_has_to_be_a_file(tmp_path: Path) -> None:
    ran = verify(tmp_path / "none.zip")
    assert (ran.code, ran.err) == (2, f"error: no file {tmp_path / 'none.zip'}\n")
    for path in ("/dev/null", tmp_path):
        ran = verify(Path(path))
        assert (ran.code, ran.err) == (2, f"error: {path} is not a file\n")


MANIFEST = {
    "format": "twinbench submission 1",
    "name": "mine",
    "title": "Mine",
    "contact": {"name": "Ada"},
    "licence": "MIT",
    "twinbench": "0.1.0",
    "router": {"spec": "mine", "closed": True},
    "files": {},
}


def manifest_refusal(text: str) -> str:
    with pytest.raises(ContentError) as refused:
        SubmissionManifest.parse(text.encode(), MANIFEST_FILE)
    return str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../mine"),
        ("name", "Mine"),
        ("title", "\x1b[31mred"),
        ("title", "a\nb"),
        ("title", "x" * 400),
        ("title", "\u202eevil"),
        ("description", "\x00"),
        ("description", "x" * 3000),
        ("links", ["javascript:alert(1)"]),
        ("links", ['https://x"onmouseover="']),
        ("licence", ""),
        ("files", {"../a": {"sha256": "0" * 64, "bytes": 1}}),
        ("files", {"a": {"sha256": "0" * 64, "bytes": -1}}),
        ("files", {"a": {"sha256": "0" * 64, "bytes": 10**400}}),
        ("more", 1),
        ("format", "twinbench submission 2"),
    ],
)
def test_a_manifest_holds_nothing_that_acts(field: str, value: object) -> None:
    told = manifest_refusal(json.dumps({**MANIFEST, field: value}))
    assert told.isprintable() or "\n" in told
    assert "\x1b" not in told


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "1" + "0" * 5000])
def test_numbers_that_are_none_are_refused(number: str) -> None:
    text = json.dumps({**MANIFEST, "files": {"a": {"sha256": "0" * 64, "bytes": 7}}})
    assert manifest_refusal(text.replace("7", number))
    assert manifest_refusal('{"a": 1, "a": 2}')
    assert manifest_refusal("[" * 100_000)
    assert manifest_refusal("")


def test_html_in_a_manifest_is_text() -> None:
    shown = SubmissionManifest.parse(json.dumps({**MANIFEST, "title": "<script>alert(1)</script>"}).encode(), "m")
    assert shown.title == "<script>alert(1)</script>"


def test_an_archive_without_a_manifest_is_refused(tmp_path: Path) -> None:
    ran = verify(zip_of(tmp_path / "a.zip", [("a", b"x")]))
    assert failed(ran) == {"archive"}
    assert "has no file submission.json" in reasons(ran, "archive")


def test_samples_follow_from_file_and_nonce() -> None:
    names = [f"case-{number}" for number in range(100)]
    chosen = draw(names, 10, digest="a", nonce="b", purpose="grade")
    assert chosen == draw(reversed(names), 10, digest="a", nonce="b", purpose="grade")
    assert len(chosen) == 10
    others = [("c", "b", "grade"), ("a", "c", "grade"), ("a", "b", "replay")]
    assert all(draw(names, 10, digest=d, nonce=n, purpose=p) != chosen for d, n, p in others)
    assert draw(names, None, digest="a", nonce="b", purpose="grade") == sorted(names)
    often = [len({*draw(names, 50, digest="a", nonce=str(each), purpose="x")} & {*names[:50]}) for each in range(200)]
    assert 23.5 < sum(often) / len(often) < 26.5

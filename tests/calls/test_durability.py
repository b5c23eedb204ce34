"""Whether a journal, and files that are written so that the old one stays, outlast a power cut."""

from __future__ import annotations

from pathlib import Path

from tests.power_cut import disk
from twinbench.calls.journal import JOURNAL_FILE, Journal
from twinbench.storage.files import atomic_write


def test_what_nobody_flushed_is_not_left(tmp_path: Path) -> None:
    """The test's own measure."""
    with disk(tmp_path) as watched:
        (tmp_path / "plain").write_text("content")
        assert watched.left(tmp_path / "plain") is None


def test_a_journal_outlasts_a_power_cut_up_to_its_last_flush(tmp_path: Path) -> None:
    path = tmp_path / "run" / "journal" / JOURNAL_FILE
    with disk(tmp_path) as watched, Journal.open(path.parent) as journal:
        journal.append("first", sync=True)
        assert watched.keeps(path)
        flushed = path.read_bytes()
        journal.append("second")
        assert watched.left(path) == flushed
        journal.sync()
        assert watched.keeps(path)


def test_the_start_of_a_line_is_put_aside_before_it_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "journal" / JOURNAL_FILE
    with Journal.open(path.parent) as journal:
        journal.append("first", sync=True)
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"fields":')
    with disk(path.parent) as watched, Journal.open(path.parent) as journal:
        assert journal.torn is not None
        assert watched.left(journal.torn) == b'{"fields":'
        assert watched.left(path) == whole, "else a later line may follow the start of another"


def test_a_file_that_is_replaced_outlasts_a_power_cut(tmp_path: Path) -> None:
    target = tmp_path / "file.json"
    with disk(tmp_path) as watched:
        for content in ("one", "two"):
            with atomic_write(target) as path:
                path.write_text(content)
            assert watched.left(target) == content.encode()

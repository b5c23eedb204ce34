"""The first entries of the leaderboard: names of their own on every embedded bank, and wheels made of what is here."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.first_entries import ENTRIES, LEARNED, entries, make_wheel
from static_track.banks.embedded_names import EMBEDDED
from twinbench.plugins.spec import parse_spec
from twinbench.submissions.archive import open_archive
from twinbench.submissions.fields import Slug


def test_every_entry_has_a_name_of_its_own_and_a_router_that_is_there() -> None:
    found = list(entries())
    assert len({entry.name for entry, _ in found}) == len(found) == len(ENTRIES) + len(LEARNED) * len(EMBEDDED)
    for entry, banks in found:
        assert TypeAdapter(Slug).validate_python(entry.name) == entry.name
        assert parse_spec(entry.router).kind == "built-in"
        assert {bank.partition(":")[0] for bank in banks} <= set(EMBEDDED)
    assert sum(entry.rehearsed for entry, _ in found) == 3


def test_a_wheel_is_made_of_what_is_installed(tmp_path: Path) -> None:
    with open_archive(make_wheel("iniconfig", tmp_path)) as archive:
        assert {"iniconfig/__init__.py"} <= set(archive.sizes)
        assert any(name.endswith(".dist-info/METADATA") for name in archive.sizes)

"""``bank pull`` against a server that speaks the hub's language: what is fetched, what is refused, what is kept."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from static_track.banks.embedded_names import DEFAULT_BANK
from tests.banks import a_manifest, a_trajectory, import_rows
from tests.cli.commands import Ran, files, twinbench, without_progress
from tests.cli.forked import ForkedCommand
from tests.timing import wall_s
from tests.twinbench.hub import Hub, hub_with
from twinbench.storage.manifest_files import published_bank
from twinbench.storage.manifests import PublishedBank
from twinbench.storage.store import Store

ROWS = [row for number in range(40) for row in a_trajectory([number % 4, 0, 3], instance=f"i-{number}")]
CONTENT = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
PIECE = 10 * 2**20
"""What huggingface_hub takes from a connection at once, and so goes on after."""
LARGE = CONTENT.replace(b'{"id"', b'{"note": "%s", "id"' % (b"x" * (PIECE + 10_000)), 1)
LABELS = (50, 10, 10, 50)
FILE = "datasets/some/bank/rows.jsonl"
TOKEN = "hf_averysecrettoken"  # noqa: S105 - of this test's own server


def pull(
    tmp_path: Path, hub: Hub | str, *arguments: str, environment: Mapping[str, str] | None = None, **changes: Any
) -> Ran:
    """Run the command in a process of its own, since huggingface_hub reads its settings when it is imported."""
    (content := tmp_path / "rows.jsonl").write_bytes(CONTENT)
    published = {"rows": len(ROWS), "trajectories": 40, "labels": LABELS, **changes}
    manifest = a_manifest(tmp_path / "banks.toml", content, **published)
    where: tuple[str | Path, ...] = ("--manifest", manifest, "--store", tmp_path / "store")
    variables = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        "HF_ENDPOINT": hub if isinstance(hub, str) else hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        **(environment or {}),
    }
    with ForkedCommand(("bank", "pull", "official", *where, *arguments), environment=variables) as command:
        out, err = command.communicate()
    assert command.returncode is not None
    ran = Ran(command.returncode, out, without_progress(err.decode()))
    assert "Traceback" not in ran.err
    for secret in (TOKEN, "signature"):
        assert secret not in ran.text + err.decode()
    return ran


def kept(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def cached(tmp_path: Path) -> list[Path]:
    """The files with rows that the hub's cache holds, whole or in part."""
    return [path for path in (tmp_path / "hf").rglob("*") if path.is_file() and path.stat().st_size > 1000]


def test_a_bank_is_fetched_checked_and_imported_and_then_fetched_no_more(tmp_path: Path) -> None:
    with hub_with({FILE: CONTENT}) as hub:
        first = pull(tmp_path, hub).succeeded()
        assert hub.downloads == [FILE]
        asked = len(hub.requests)
        again = pull(tmp_path, hub).succeeded()
        other = pull(tmp_path, hub, "--name", "other", "--json").succeeded()
        assert len(hub.requests) == asked, "nobody asks for what is here"
    assert first.text.startswith("imported official: 120 rows, 40 trajectories, sha256 ")
    assert first.err == ""
    assert again.text.startswith("nothing was downloaded: the store has official, sha256 ")
    assert kept(tmp_path).bank_names() == ["official", "other"]
    assert other.json["source"] == "rows.jsonl"
    assert other.json["source_sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert (other.json["imported_now"], other.json["downloaded"], other.json["differences"]) == (True, False, [])
    scored = twinbench("static", "score", "sticky", "--bank", "official", "--store", kept(tmp_path).root).succeeded()
    assert "always-high *" in scored.text


@pytest.mark.parametrize("cdn", [False, True])
def test_a_download_that_is_cut_in_the_middle_goes_on_where_it_was(tmp_path: Path, cdn: bool) -> None:
    with hub_with({FILE: LARGE}, cut_after=PIECE + 5000, cdn=cdn) as hub:
        pull(tmp_path, hub, sha256=hashlib.sha256(LARGE).hexdigest()).succeeded()
        server = hub.cdn or hub
    of_file = [each for each in server.requests if each.method == "GET" and "rows.jsonl" in each.path]
    assert [each.range for each in of_file] == [None, f"bytes={PIECE}-"]
    assert server.downloads == [FILE, FILE]
    assert kept(tmp_path).bank_names() == ["official"]


def test_a_token_goes_to_the_endpoint_alone(tmp_path: Path) -> None:
    with hub_with({FILE: LARGE}, token=TOKEN, cdn=True, cut_after=PIECE + 5000) as hub:
        pull(tmp_path, hub, environment={"HF_TOKEN": TOKEN}, sha256=hashlib.sha256(LARGE).hexdigest()).succeeded()
        assert hub.cdn is not None
        assert {each.token for each in hub.requests if "/resolve/" in each.path} == {f"Bearer {TOKEN}"}
        assert hub.cdn.downloads == [FILE, FILE]
        assert {each.token for each in hub.cdn.requests} == {None}


BY_HAND = "Or download the file yourself (sha256 "
IMPORT = "), then run twinbench bank import FILE --name official"


@pytest.mark.parametrize("token", [None, TOKEN])
def test_without_access_one_is_told_where_to_ask_for_it(tmp_path: Path, token: str | None) -> None:
    with hub_with({FILE: CONTENT}, token="another") as hub:  # noqa: S106 - of this test's own server
        ran = pull(tmp_path, hub, environment={} if token is None else {"HF_TOKEN": token})
    assert ran.code == 1
    have = "no token is set" if token is None else "the current token may not read it"
    assert ran.err.startswith(
        f"error: {hub.url} refuses rows.jsonl of the data set some/bank (401), and {have}: accept the conditions on "
        f"{hub.url}/datasets/some/bank, and set HF_TOKEN to a token that may read it. Nothing was imported. {BY_HAND}"
    )
    assert ran.err.endswith(f"{IMPORT}\n")
    assert kept(tmp_path).bank_names() == []


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ({"status": 403}, "refuses rows.jsonl of the data set some/bank (403), and no token is set"),
        ({"error": "EntryNotFound"}, "has no rows.jsonl of the data set some/bank at revision main (404)"),
        ({"error": "RepoNotFound"}, "has no rows.jsonl of the data set some/bank at revision main (404)"),
        ({"error": "RevisionNotFound"}, "has no rows.jsonl of the data set some/bank at revision main (404)"),
        ({"status": 503}, "could not be downloaded from"),
    ],
)
def test_a_hub_that_answers_badly_is_a_clear_error(tmp_path: Path, behaviour: dict[str, Any], said: str) -> None:
    with hub_with({}, **behaviour) as hub:
        ran = pull(tmp_path, hub)
    assert ran.code == 1
    assert said in ran.err
    assert ran.err.endswith(f"{IMPORT}\n")
    assert kept(tmp_path).bank_names() == []


def test_without_a_network_one_is_told_within_seconds_what_works(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as once_there:
        nobody = f"http://user:password@127.0.0.1:{once_there.getsockname()[1]}"
    offline_s = wall_s(lambda: pull(tmp_path, nobody, environment={"HF_HUB_OFFLINE": "1"}))
    tried: list[Ran] = []
    # It took twenty seconds more, fifty times as long, when it was tried again and again.
    assert wall_s(lambda: tried.append(pull(tmp_path, nobody))) < 20 * offline_s
    (ran,) = tried
    assert ran.code == 1
    assert "error: rows.jsonl of the data set some/bank could not be downloaded from http://127.0.0.1:" in ran.err
    assert "password" not in ran.err
    assert ran.err.endswith(f"{IMPORT}\n")
    told = pull(tmp_path, nobody, environment={"HF_HUB_OFFLINE": "1"})
    assert told.code == 1
    assert "HF_HUB_OFFLINE" in told.err


def test_another_file_is_not_imported_and_not_kept(tmp_path: Path) -> None:
    wrong = CONTENT.replace(b"look at", b"LOOK AT", 1)
    with hub_with({FILE: wrong}) as hub:
        ran = pull(tmp_path, hub)
    assert ran.code == 1
    assert ran.err.startswith(f"error: rows.jsonl of some/bank at {hub.url} is not the published file: its sha256 is ")
    assert f"{hashlib.sha256(wrong).hexdigest()}, expected {hashlib.sha256(CONTENT).hexdigest()}. " in ran.err
    assert kept(tmp_path).bank_names() == []
    assert cached(tmp_path) == []
    with hub_with({FILE: CONTENT}) as hub:
        pull(tmp_path, hub).succeeded()


def test_a_file_damaged_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    with hub_with({FILE: CONTENT}) as hub:
        pull(tmp_path, hub).succeeded()
        (blob,) = {path.resolve() for path in cached(tmp_path)}
        blob.chmod(0o644)
        blob.write_bytes(CONTENT[:-1])
        pull(tmp_path, hub, "--name", "other").succeeded()
        assert hub.downloads == [FILE, FILE]
    assert kept(tmp_path).bank_names() == ["official", "other"]


def test_a_bank_of_that_name_is_kept_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    store = kept(tmp_path)
    import_rows(a_trajectory([0]), store, "official")
    before = files(store.root)
    with hub_with({FILE: CONTENT}) as hub:
        refused = pull(tmp_path, hub)
        assert (refused.code, hub.requests) == (2, [])
        assert "a bank named 'official' exists; choose another --name, or --replace it" in refused.err
        assert files(store.root) == before
        pull(tmp_path, hub, "--replace").succeeded()


def test_counts_that_are_not_the_published_ones_are_told(tmp_path: Path) -> None:
    with hub_with({FILE: CONTENT}) as hub:
        ran = pull(tmp_path, hub, "--json", trajectories=41, rows=119, labels=[49, 10, 10, 50]).succeeded()
    assert ran.json["differences"] == [
        "rows: published 119, imported 120",
        "trajectories: published 41, imported 40",
        "labels of swebench, low to high: published 49, 10, 10, 50, imported 50, 10, 10, 50",
    ]
    assert ran.err.startswith("note: rows: published 119, imported 120\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "banks-2026-04 has no bank 'nowhere'; known: official"),
        (("official", "--name", DEFAULT_BANK), f"the name {DEFAULT_BANK!r} is reserved for an embedded bank"),
        (("official", "--manifest", "splits-2026-04"), "of kind 'splits', but one of banks is needed"),
        (("official", "--name", "a/b"), "bank name 'a/b': use letters"),
    ],
)
def test_what_cannot_be_pulled_is_refused(store: Store, arguments: tuple[str, ...], said: str) -> None:
    ran = twinbench("bank", "pull", *arguments, "--store", store.root)
    assert ran.code == 2
    assert said in ran.err


def test_the_official_bank_is_the_protocols(shared: Path) -> None:
    constants = json.loads((shared / "protocol" / "constants.json").read_text("utf-8"))["official_bank"]
    official = published_bank("official")
    assert isinstance(official, PublishedBank)
    assert official.hub == constants["hub_dataset"]
    assert {workload: list(labels) for workload, labels in official.labels.items()} == constants[
        "rows_by_workload_and_tier"
    ]
    for same in ("file", "sha256", "rows", "trajectories"):
        assert getattr(official, same) == constants[same]

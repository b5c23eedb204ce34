"""Predictions that are handed in: what is honest passes, and each kind of tampering has its check."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import twinbench as tb
from tests.banks import a_trajectory, import_rows
from tests.cli.commands import twinbench
from tests.examples import thinned
from tests.submissions.handing_in import INFO, contents, failed, forge, pack, reasons, verify, write_router
from twinbench.api.packing import EXAMPLE, make_info
from twinbench.api.verifying import VerificationRequest
from twinbench.containers.engine import Engine
from twinbench.errors import TwinbenchError
from twinbench.storage.store import Store
from twinbench.submissions.archive import write_archive
from twinbench.submissions.manifest import Division
from twinbench.submissions.report import VerificationReport

PREDICTIONS = "static/small/predictions.jsonl"
Manifest = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def _bank() -> None:
    """A small bank; the embedded one is what test_trained_submissions.py hands in."""
    rows = [row for number in range(16) for row in a_trajectory([number % 4, 0, 3], instance=f"i-{number}")]
    import_rows(rows, Store(None), "small", replace=True)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A router and its predictions on the small bank."""
    folder = tmp_path_factory.mktemp("packed")
    folder.chmod(0o755)
    file = folder / "mine.zip"
    pack(write_router(folder / "router"), file, "--bank", "small").succeeded()
    return file


def with_low(content: bytes) -> bytes:
    """Predictions of which the first says another tier."""
    lines = content.decode().splitlines()
    first = json.loads(lines[0])
    first["tier_id"] = (first["tier_id"] + 1) % 4
    return "\n".join([json.dumps(first), *lines[1:]]).encode()


def test_what_is_honest_passes_and_says_what_is_open(packed: Path) -> None:
    ran = verify(packed)
    assert failed(ran) == set()
    report = ran.json
    assert {check["name"] for check in report["checks"] if check["status"] == "warn"} == {"signature", "decisions"}
    assert report["levels"] == ["verify"]
    assert len(report["nonce"]) == 64
    [result] = report["results"]
    assert (result["division"], result["in_sample"]) == ("static", False)
    assert result["score"]["router"] == "mine.py:Mine"
    assert {each["router"] for each in result["references"]} >= {"always-high", "labels"}
    assert any("labels of these rows" in doubt["what"] for doubt in report["doubts"])
    VerificationReport.model_validate({name: value for name, value in report.items() if name != "ok"})
    again = verify(packed, "--nonce", report["nonce"]).json
    assert {**again, "verified_at": None} == {**report, "verified_at": None}


def test_packing_twice_gives_the_same_bytes(packed: Path, tmp_path: Path) -> None:
    pack(f"{packed.parent / 'router/mine.py'}:Mine", tmp_path / "again.zip", "--bank", "small").succeeded()
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


def test_people_read_a_table(packed: Path) -> None:
    ran = twinbench("submit", "verify", packed, "--ask", "none").succeeded()
    assert "may be listed: static/small/predictions.jsonl (static)" in ran.text
    assert "not verified: that this router decides so" in ran.text


def scores(manifest: Manifest) -> None:
    manifest["static"][0]["scores"]["combined"] += 1


def protocol(manifest: Manifest) -> None:
    manifest["static"][0]["protocol"] = "0" * 64


def bank(manifest: Manifest) -> None:
    manifest["static"][0]["bank_sha256"] = "0" * 64


def part(manifest: Manifest) -> None:
    manifest["static"][0] |= {"part": "default:test", "part_fingerprint": "0" * 64}


def easier(manifest: Manifest) -> None:
    """A split by another seed, under the name and fingerprint of one that others have."""
    manifest["static"][0] |= {"part": "test", "part_fingerprint": "1" * 64}
    manifest["static"][0]["split"] = {
        "name": "default",
        "shares": {"train": 0.6, "test": 0.4},
        "seed": 7,
        "near_duplicates": True,
    }


def unknown(manifest: Manifest) -> None:
    easier(manifest)
    manifest["static"][0]["part"] = "dev"


def twice(manifest: Manifest) -> None:
    manifest["static"].append(manifest["static"][0])


def rows(manifest: Manifest) -> None:
    manifest["static"][0]["rows"] -= 1


def spec(manifest: Manifest) -> None:
    manifest["router"]["spec"] = "mine.py:Mine?at=3"


def outside(manifest: Manifest) -> None:
    manifest["router"]["spec"] = "../../../etc/mine.py:Mine"


def fingerprint(manifest: Manifest) -> None:
    manifest["router"]["fingerprint"] = "0" * 64


def absent(manifest: Manifest) -> None:
    manifest["static"][0]["predictions"] = "static/other/predictions.jsonl"


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        (scores, {"scores"}),
        (protocol, {"protocol"}),
        (bank, {"bank"}),
        (part, {"part"}),
        (easier, {"part", "rows", "scores"}),
        (unknown, {"part"}),
        (twice, {"part"}),
        (rows, {"rows"}),
        (spec, {"router-files"}),
        (outside, {"router-files"}),
        (fingerprint, {"router-files"}),
        (absent, {"rows"}),
    ],
)
def test_a_claim_that_is_not_so_is_found(
    packed: Path, tmp_path: Path, change: Callable[[Manifest], None], checks: set[str]
) -> None:
    assert failed(verify(forge(packed, tmp_path / "forged.zip", manifest=change))) == checks


def without_a_row(content: bytes) -> bytes:
    return b"\n".join(content.splitlines()[1:])


def with_a_row_of_another_bank(content: bytes) -> bytes:
    return content + b'{"id": "of another bank", "tier_id": 1}\n'


def with_a_row_twice(content: bytes) -> bytes:
    return content + content.splitlines(keepends=True)[0]


def with_no_number(content: bytes) -> bytes:
    return content.replace(b'"tier_id": 0', b'"tier_id": NaN', 1)


def with_a_long_number(content: bytes) -> bytes:
    return content.replace(b'"tier_id": 0', b'"tier_id": 1' + b"0" * 400, 1)


@pytest.mark.parametrize(
    ("change", "checks"),
    [
        (with_low, {"scores"}),
        (without_a_row, {"rows", "scores"}),
        (with_a_row_of_another_bank, {"rows"}),
        (with_a_row_twice, {"rows"}),
        (with_no_number, {"rows"}),
        (with_a_long_number, {"rows"}),
    ],
)
def test_other_predictions_are_found(
    packed: Path, tmp_path: Path, change: Callable[[bytes], bytes], checks: set[str]
) -> None:
    files = {PREDICTIONS: change(contents(packed)[PREDICTIONS])}
    assert failed(verify(forge(packed, tmp_path / "forged.zip", files=files))) == checks


def test_compiled_code_is_not_taken_for_source(packed: Path, tmp_path: Path) -> None:
    name = "router/__pycache__/limits.cpython-311.pyc"

    def include(manifest: dict[str, Any]) -> None:
        manifest["router"]["files"] = sorted([*manifest["router"]["files"], name])
        manifest["router"]["included"] = [name]

    ran = verify(forge(packed, tmp_path / "forged.zip", files={name: b"x"}, manifest=include))
    assert failed(ran) == {"router-files"}
    assert "is compiled code" in reasons(ran, "router-files")


@pytest.mark.parametrize(
    "files",
    [
        {"router/limits.py": b"def limit(at):\n    return 99\n"},
        {"router/limits.py": None},
        {"router/more.py": b""},
        {"router/__init__.py": b"import os\nos.abort()\n"},
    ],
)
def test_other_files_of_the_router_are_found(packed: Path, tmp_path: Path, files: dict[str, bytes | None]) -> None:
    ran = verify(forge(packed, tmp_path / "forged.zip", files=files))
    assert failed(ran) == {"router-files"}
    assert "not called" in reasons(ran, "decisions")


def test_a_file_that_is_not_as_the_manifest_says_ends_the_verification(packed: Path, tmp_path: Path) -> None:
    def digest(manifest: Manifest) -> None:
        manifest["files"][PREDICTIONS]["sha256"] = "0" * 64

    def more(manifest: Manifest) -> None:
        manifest["files"]["more"] = {"sha256": "0" * 64, "bytes": 1}

    def fewer(manifest: Manifest) -> None:
        del manifest["files"]["router/mine.py"]

    for change in (digest, more, fewer):
        ran = verify(forge(packed, tmp_path / "forged.zip", manifest=change))
        assert failed(ran) == {"digests"}
        assert ran.json["results"] == []


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="signatures are made by OpenSSH")
def test_signatures_say_whose_key_it_was(packed: Path, tmp_path: Path) -> None:
    for name in ("key", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
        (tmp_path / f"{name}.signers").write_text(f"ada {(tmp_path / name).with_suffix('.pub').read_text()}")
    signed = tmp_path / "signed.zip"
    router = f"{packed.parent / 'router/mine.py'}:Mine"
    pack(router, signed, "--bank", "small", "--sign", tmp_path / "key").succeeded()
    ran = verify(signed, "--signers", tmp_path / "key.signers")
    assert failed(ran) == set()
    assert ran.json["signature"]["signer"] == "ada"
    assert ran.json["signature"]["key"].startswith("SHA256:")
    assert failed(verify(signed)) == set()
    assert failed(verify(signed, "--signers", tmp_path / "other.signers")) == {"signature"}
    files = contents(signed)
    files["submission.json"] = files["submission.json"].replace(b"Ada Lovelace", b"Eve Lovelace")
    write_archive(tmp_path / "stolen.zip", files)
    assert failed(verify(tmp_path / "stolen.zip")) == {"signature"}
    ran = pack(router, signed, "--bank", "small", "--sign", tmp_path / "none")
    assert (ran.code, "no such key" in ran.err) == (2, True)


SECRETS = {
    "a key of Anthropic": "sk-ant-api03-" + "x" * 40,
    "a key of AWS": "AKIA" + "Q7" * 8,
    "a private key": "-----BEGIN OPENSSH PRIVATE KEY-----",
    "a token of GitHub": "ghp_" + "a1" * 20,
    "a password in an address": "https://ada:hunter2hunter2@example.org/",
}


@pytest.mark.parametrize("what", thinned(SECRETS, 2))
def test_a_secret_is_never_written(tmp_path: Path, what: str) -> None:
    router = write_router(tmp_path / "router")
    (tmp_path / "router/limits.py").write_text(f"KEY = {SECRETS[what]!r}\n\ndef limit(at):\n    return at\n", "utf-8")
    ran = pack(router, tmp_path / "mine.zip", "--bank", "small")
    assert ran.code == 1
    assert f"router/limits.py, line 1: {what}" in ran.err
    assert SECRETS[what] not in ran.err + ran.text
    assert not (tmp_path / "mine.zip").exists()
    ran = pack(router, tmp_path / "mine.zip", "--bank", "small", "--dry-run")
    assert (ran.code, ran.json["secrets"]) == (1, [f"router/limits.py, line 1: {what}"])
    passed = ("--no-secret", "router/limits.py:1")
    pack(router, tmp_path / "mine.zip", "--bank", "small", *passed).succeeded()
    ran = pack(router, tmp_path / "mine.zip", "--bank", "small", *passed, "--no-secret", "router/mine.py:1")
    assert (ran.code, "nothing there looks like one" in ran.err) == (2, True)


def test_the_value_of_a_variable_is_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "correct-horse-battery")
    router = write_router(tmp_path / "router")
    (tmp_path / "router/notes.txt").write_text("Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5\n", "utf-8")
    ran = pack(router, tmp_path / "mine.zip", "--bank", "small", "--include", "*.txt")
    assert ran.code == 1
    assert "router/notes.txt, line 1: the value of MY_API_KEY" in ran.err
    more = ("--include", "*.txt", "--no-secret", "router/notes.txt:1")
    assert pack(router, tmp_path / "mine.zip", "--bank", "small", *more).code == 1


def test_a_dry_run_says_what_would_go_in_and_what_is_missing(packed: Path, tmp_path: Path) -> None:
    ran = pack(f"{packed.parent / 'router/mine.py'}:Mine", tmp_path / "x.zip", "--bank", "small", "--dry-run")
    assert ran.succeeded().json["output"] is None
    assert not (tmp_path / "x.zip").exists()
    assert any("no live run" in each for each in ran.json["missing"])
    assert set(ran.json["manifest"]["files"]) == {"router/mine.py", "router/limits.py", PREDICTIONS}


def test_a_router_is_asked_again_where_files_that_it_reads_go_in(packed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reads"
    code = "import json\nfrom pathlib import Path\n\n\nclass Mine:\n    def __init__(self):\n"
    code += "        self.at = json.loads(Path(__file__).with_name('limits.json').read_text())\n\n"
    code += "    def route(self, call):\n        return 'high' if call.step_index > self.at else 'low'\n"
    write_router(folder, code)
    router = f"{folder / 'mine.py'}:Mine"
    claimed = []
    for at in (0, 99):
        (folder / "limits.json").write_text(str(at), "utf-8")
        file = tmp_path / f"{at}.zip"
        pack(router, file, "--bank", "small", "--include", "limits.json").succeeded()
        claimed.append(contents(file)[PREDICTIONS])
    assert claimed[0] != claimed[1]


def test_a_closed_router_has_predictions_alone(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "submission.toml").write_text(INFO, "utf-8")
    (tmp_path / "p.jsonl").write_bytes(contents(packed)[PREDICTIONS])
    file = tmp_path / "closed.zip"
    more = ("--closed", "--predictions", f"small={tmp_path / 'p.jsonl'}")
    pack("their-router", file, *more, info=tmp_path / "submission.toml").succeeded()
    ran = verify(file, ask="all")
    assert failed(ran) == set()
    assert "closed" in reasons(ran, "decisions")
    assert set(contents(file)) == {"submission.json", PREDICTIONS}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ((), "a submission has results"),
        (("--bank", "small", "--bank", "small"), "named twice"),
        (("--bank", "none"), "no bank"),
        (("--predictions", "small"), "give a bank and a file"),
        (("--bank", "small", "--include", "../*"), "name files below"),
        (("--bank", "small", "--include", "*.pkl"), "no such file"),
        (("--run", "nowhere"), "no plan.json"),
    ],
)
def test_wrong_use_is_refused(packed: Path, tmp_path: Path, more: Sequence[str], told: str) -> None:
    ran = pack(f"{packed.parent / 'router/mine.py'}:Mine", tmp_path / "x.zip", *more)
    assert ran.code == 2
    assert told in ran.err


def test_a_file_that_no_archive_may_have_is_refused_in_words(tmp_path: Path) -> None:
    router = write_router(tmp_path / "router")
    (tmp_path / "router/odd\x1b.txt").touch()
    ran = pack(router, tmp_path / "x.zip", "--bank", "small", "--include", "*.txt")
    assert ran.code == 2
    assert "cannot be submitted" in ran.err
    assert "must be printable" in ran.err


def test_who_hands_in_is_asked_in_words(packed: Path, tmp_path: Path) -> None:
    ran = twinbench("submit", "pack", "always-high", "--bank", "small")
    assert (ran.code, "--info" in ran.err) == (2, True)
    (tmp_path / "wrong.toml").write_text('name = "My Router"\ntitle = "x"\n', "utf-8")
    ran = twinbench("submit", "pack", "always-high", "--bank", "small", "--info", tmp_path / "wrong.toml")
    assert ran.code == 1
    assert "contact" in ran.err
    assert "licence" in ran.err
    assert twinbench("submit", "pack", "--example").succeeded().text == EXAMPLE
    assert make_info(tomllib.loads(EXAMPLE), "example").name == "my-router"


def test_the_library_does_the_same(packed: Path, tmp_path: Path) -> None:
    router = f"{packed.parent / 'router/mine.py'}:Mine"
    made = tb.pack_submission(router, packed.parent / "router/submission.toml", banks=["small"])
    assert made.output is None
    file = tmp_path / "library.zip"
    tb.pack_submission(router, make_info(tomllib.loads(INFO), "info"), banks=["small"], output=file)
    assert file.read_bytes() == packed.read_bytes()
    report = tb.verify_submission(file, VerificationRequest(nonce="shown", ask=None))
    assert report.ok
    assert (report.nonce, report.divisions) == ("shown", (Division.static,))
    with pytest.raises(TwinbenchError, match="has results"):
        tb.pack_submission(router, packed.parent / "router/submission.toml")


HONEST = (
    *("always-low", "always-mid_high", "random", "random?seed=7&mix=3:1:0:2", "round-robin", "sticky"),
    *(
        "round-robin?tiers=low:high&every=2",
        "depth-rule",
        "depth-rule?mid=2&high=6",
        "sticky?at_least=mid&climbs=false",
    ),
)


@pytest.mark.parametrize("router", thinned(HONEST, 5))
def test_every_honest_router_passes(tmp_path: Path, engine: Engine, router: str) -> None:
    (tmp_path / "submission.toml").write_text(INFO, "utf-8")
    file = tmp_path / "honest.zip"
    pack(router, file, "--bank", "small", info=tmp_path / "submission.toml").succeeded()
    assert failed(verify(file, ask="all")) == set()


CHEATING = """
from pathlib import Path


class Mine:
    def route(self, call):
        return call.candidates[-1 if Path("FLAG").exists() else 0]
"""


def test_the_router_is_asked_again_in_strict_isolation(packed: Path, tmp_path: Path, engine: Engine) -> None:
    ran = verify(packed, ask="all")
    assert failed(ran) == set()
    assert "decides alike on 48 rows of 48 rows" in reasons(ran, "decisions")
    assert ran.json["levels"] == ["verify", "ask"]
    assert (
        "called again for" in reasons(verify(packed, ask="5"), "decisions") or failed(verify(packed, ask="5")) == set()
    )

    flag = tmp_path / "flag"
    flag.touch()
    tmp_path.chmod(0o755)
    router = write_router(tmp_path / "router", CHEATING.replace("FLAG", str(flag)))
    pack(router, tmp_path / "cheat.zip", "--bank", "small").succeeded()
    assert failed(verify(tmp_path / "cheat.zip")) == set()
    ran = verify(tmp_path / "cheat.zip", ask="all")
    assert failed(ran) == {"decisions"}
    assert "decides otherwise on 48 rows" in reasons(ran, "decisions")


def test_nothing_of_a_submission_runs_on_this_machine(tmp_path: Path, engine: Engine) -> None:
    trap = tmp_path / "trap"
    code = f"import os\n\ntry:\n    os.mkdir({str(trap)!r})\nexcept OSError:\n    pass\n"
    tmp_path.chmod(0o755)
    router = write_router(tmp_path / "router")
    (tmp_path / "router/setup.py").write_text(code, "utf-8")
    (tmp_path / "router/model.pkl").write_bytes(b"cos\nmkdir\n(S'" + os.fsencode(trap) + b"'\ntR.")
    (tmp_path / "router/evil-1.0-py3-none-any.whl").write_bytes(b"PK")
    for path in (tmp_path / "router").iterdir():
        path.chmod(0o644)
    more = ("--include", "setup.py", "--include", "*.pkl", "--include", "*.whl")
    pack(router, tmp_path / "mine.zip", "--bank", "small", *more).succeeded()
    files = contents(tmp_path / "mine.zip")
    files["router/mine.py"] = code.encode() + files["router/mine.py"]
    forged = forge(tmp_path / "mine.zip", tmp_path / "forged.zip", files={"router/mine.py": files["router/mine.py"]})
    for file in (tmp_path / "mine.zip", forged):
        verify(file, ask="all")
    assert not trap.exists()

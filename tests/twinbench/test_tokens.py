"""Token counts: the locked files, special tokens, texts that tokenizers choke on, and the native set from a hub."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers as huggingface
from hypothesis import example, given
from hypothesis import strategies as st

from tests import oracle, strategies
from tests.banks import a_trajectory, import_rows, write_jsonl
from tests.cli.commands import Ran, spawned
from tests.examples import examples, thinned
from tests.timing import growth, wall_s
from tests.twinbench.hub import Hub, hub_with
from twinbench.errors import TwinbenchError, UsageError
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.manifests import StaticManifest
from twinbench.storage.store import Store
from twinbench.text.tokens import TiktokenFile, Tokenizer, TokenizerSet, _split_long_whitespace, find_tokenizer_set

CL100K, ANTHROPIC = "cl100k_base", "anthropic"


@pytest.fixture(scope="module")
def offline() -> TokenizerSet:
    return find_tokenizer_set(static_manifest())


@pytest.mark.parametrize(
    ("text", "on_high", "below"),
    [
        ("<EOT>", 1, 3),
        ("<META><META_START>", 2, 6),
        ("<|endoftext|>", 7, 7),
        ("<|fim_prefix|>", 8, 7),
        ("", 0, 0),
        ("run the tests", 3, 3),
    ],
)
def test_special_tokens_are_one_token_for_their_own_tokenizer_alone(
    text: str, on_high: int, below: int, offline: TokenizerSet
) -> None:
    assert offline.count([text]) == {CL100K: [below], ANTHROPIC: [on_high]}


def test_high_is_counted_by_the_anthropic_file_and_all_below_by_cl100k(offline: TokenizerSet) -> None:
    assert offline.names == (CL100K, CL100K, CL100K, ANTHROPIC)
    assert offline.distinct_names == (CL100K, ANTHROPIC)


@examples(60, 300)
@given(st.lists(st.one_of(st.text(), strategies.texts()), max_size=8))
def test_counts_are_the_oracles_one_by_one(texts: list[str]) -> None:
    counted = find_tokenizer_set(static_manifest()).count(texts)
    assert counted[ANTHROPIC] == [oracle.high_tokens(text) for text in texts]
    assert counted[CL100K] == [oracle.other_tokens(text) for text in texts]


# --- Texts that tokenizers choke on ---------------------------------------------------------------------------------

ODD: dict[str, Callable[[int], str]] = {
    "letters": lambda size: "a" * size,
    "spaces": lambda size: " " * size,
    "spaces before a word": lambda size: " " * size + "x",
    "a line break, spaces, a word": lambda size: "x\n" + " " * size + "x",
    "line breaks": lambda size: "\n" * size,
    "line breaks before a word": lambda size: "\n" * size + "x",
    "line separators before a word": lambda size: "\u2028" * size + "x",
    "no-break spaces between words": lambda size: ("a" + "\u00a0" * (size // 2)) * 2 + "b",
    "equal signs": lambda size: "=" * size,
    "digits": lambda size: "7" * size,
    "nuls": lambda size: "\0" * size,
    "combining marks": lambda size: "a" + "\u0301\u0323" * (size // 2),
    "cuneiform": lambda size: "𒀀" * (size // 4),
}
TIMES = 16


@pytest.mark.parametrize("name", [CL100K, ANTHROPIC])
@pytest.mark.parametrize("odd", thinned(ODD, 3))
def test_time_for_odd_long_texts_grows_as_their_length(odd: str, name: str, offline: TokenizerSet) -> None:
    tokenizer = offline.tokenizers[name]
    small, large = ODD[odd](8_000), ODD[odd](TIMES * 8_000)
    counts: list[int] = []
    assert growth(lambda text: counts.extend(tokenizer.count([text])), small, large) < TIMES**1.5
    assert 100 < counts[-1] <= 2 * len(large.encode())


WHITESPACE = " \t\n\r\x0b\x0c\x85\xa0\u2003\u2028\u3000"


@examples(60, 300)
@given(st.text(st.sampled_from(WHITESPACE + "ax.1é'\x1c"), max_size=40), st.integers(1, 4))
@example(".\n\n  x", 2)
@example("a \n \r\n  b", 2)
@example("  'll", 2)
def test_text_cut_in_long_white_space_has_the_tokens_of_the_whole(text: str, long: int) -> None:
    parts = list(_split_long_whitespace(text, long))
    assert "".join(parts) == text
    pieces = [token for part in parts for token in oracle.cl100k_base().encode_ordinary(part)]
    assert pieces == oracle.cl100k_base().encode_ordinary(text)


def test_long_white_space_is_cut_at_all() -> None:
    assert list(_split_long_whitespace("a" + " " * 9 + "b\n" + " " * 9 + "c", 9)) == [
        "a" + " " * 8,
        " b\n",
        " " * 8,
        " c",
    ]
    assert list(_split_long_whitespace("a" + " " * 9, 9)) == ["a" + " " * 9]
    assert list(_split_long_whitespace("a" + " " * 8 + "b", 9)) == ["a" + " " * 8 + "b"]


# --- Locked files ---------------------------------------------------------------------------------------------------


def with_file(name: str, **change: Any) -> StaticManifest:
    """The locked manifest with another entry for a tokenizer's file."""
    manifest = static_manifest()
    file = manifest.tokenizers[name].model_copy(update=change)
    return manifest.model_copy(update={"tokenizers": {**manifest.tokenizers, name: file}})


def test_a_tokenizer_file_of_another_sha256_is_refused() -> None:
    with pytest.raises(
        TwinbenchError, match=f"tokenizer {ANTHROPIC}: .* has SHA-256 c2417.* instead of the locked 0000"
    ):
        find_tokenizer_set(with_file(ANTHROPIC, sha256="0" * 64))


def test_a_tokenizer_file_that_is_not_there_says_which_package_should_bring_it() -> None:
    with pytest.raises(TwinbenchError, match=r"no file nowhere\.json in the package litellm"):
        find_tokenizer_set(with_file(ANTHROPIC, path="nowhere.json"))
    with pytest.raises(TwinbenchError, match="install no_such_package"):
        find_tokenizer_set(with_file(ANTHROPIC, package="no_such_package"))


def test_an_unknown_set_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="no tokenizer set 'online'; static-2026-04 has offline, native"):
        find_tokenizer_set(static_manifest(), "online")


def test_the_sets_fingerprint_is_of_the_files_content(tmp_path: Path, offline: TokenizerSet) -> None:
    assert offline.fingerprint_parts["files"] == {
        CL100K: "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        ANTHROPIC: "c241737df24b4e7f7c9af4fdcee29a0ca903dcb288a8b753bc346a3092911767",
    }


def test_importing_and_scoring_loads_no_litellm_and_opens_no_connection(tmp_path: Path) -> None:
    code = """if True:
        import sys
        def refuse(event, arguments):
            if event in ("socket.connect", "socket.getaddrinfo"):
                raise RuntimeError(f"{event} {arguments}")
        sys.addaudithook(refuse)
        import twinbench as tb
        path, store = sys.argv[1:]
        tb.import_bank(path, "mine", store=store)
        tb.score("sticky", "mine", store=store).to_json()
        sys.exit("litellm" in sys.modules)
    """
    path = write_jsonl(tmp_path / "bank.jsonl", a_trajectory([0, 3, 1]))
    done = subprocess.run([sys.executable, "-c", code, str(path), str(tmp_path / "store")], check=False)
    assert done.returncode == 0


# --- The native set -------------------------------------------------------------------------------------------------


def small_tokenizer(split: Any) -> str:
    tokenizer = huggingface.Tokenizer(huggingface.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.pre_tokenizer = split
    return str(tokenizer.to_str())


NATIVE = {
    "deepseek-ai/DeepSeek-V3/tokenizer.json": small_tokenizer(huggingface.pre_tokenizers.WhitespaceSplit()),
    "MiniMaxAI/MiniMax-Text-01/tokenizer.json": small_tokenizer(huggingface.pre_tokenizers.Split("", "isolated")),
}


def score(
    store: Store, set_name: str, hub: Hub | None = None, *, router: str = "always-low", **environment: str
) -> Ran:
    """Score on the command line, with the hub at an address of ours."""
    command = ("static", "score", router, "--bank", "bank", "--json", "--tokenizers", set_name, "--store", store.root)
    variables = {
        "HF_ENDPOINT": "http://127.0.0.1:9" if hub is None else hub.url,
        "HF_HOME": str(store.root.parent / "hf"),
        "HF_HUB_OFFLINE": "0",
        **environment,
    }
    return spawned(*command, environment=variables)


def sidecars(store: Store) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in store.bank_dir("bank").glob("*.tokens-*.duckdb")}


def test_the_native_set_is_fetched_once_scores_differently_and_is_another_protocol(store: Store) -> None:
    import_rows(a_trajectory([0, 1, 3, 0]), store)
    before = score(store, "offline")
    with hub_with(NATIVE) as hub:
        native = score(store, "native", hub)
        assert native.code == 0, native.err
        assert sorted(hub.downloads) == sorted(NATIVE)
        written = sidecars(store)
        assert len(written) == 1
        again = score(store, "native", hub)
        another = score(store, "native", hub, router="random?seed=7")  # not kept: it needs the token counts
        assert another.code == 0, another.err
        assert sorted(hub.downloads) == sorted(NATIVE)
    after = score(store, "offline")

    offline_board, native_board = before.json, native.json
    assert native_board["protocol"] != offline_board["protocol"]
    assert again.text == native.text
    assert after.text == before.text
    assert sidecars(store) == written
    scores = [{each["router"]: each["scores"] for each in board["routers"]} for board in (offline_board, native_board)]
    assert scores[0]["always-low"]["cost_save"] != scores[1]["always-low"]["cost_save"]
    assert scores[0]["always-low"]["row_pass"] == scores[1]["always-low"]["row_pass"]

    # Without a network, what was fetched once still serves.
    assert score(store, "native", HF_HUB_OFFLINE="1").text == native.text


def test_without_a_network_the_native_set_fails_and_says_what_works(store: Store) -> None:
    import_rows(a_trajectory([0]), store)
    done = score(store, "native", HF_HUB_OFFLINE="1")
    assert (done.code, done.text) == (1, "")
    assert "tokenizer deepseek-v3: tokenizer.json of deepseek-ai/DeepSeek-V3 could not be fetched" in done.err
    assert "the set 'offline' needs no network" in done.err
    assert "Traceback" not in done.err
    assert not sidecars(store)


def test_a_hub_that_cannot_be_reached_is_told_of_without_trying_again_and_again(store: Store) -> None:
    import_rows(a_trajectory([0]), store)
    at_once_s = wall_s(lambda: score(store, "native", HF_HUB_OFFLINE="1"))
    ran: list[Ran] = []
    # It took twenty-three seconds more, sixty times as long.
    assert wall_s(lambda: ran.append(score(store, "native"))) < 20 * at_once_s
    (done,) = ran
    assert (done.code, done.text) == (1, "")
    assert "could not be fetched from the Hugging Face hub (" in done.err
    assert "the set 'offline' needs no network" in done.err
    assert "Traceback" not in done.err


def test_a_hub_without_the_file_is_a_clear_error(store: Store) -> None:
    import_rows(a_trajectory([0]), store)
    with hub_with({}) as hub:
        done = score(store, "native", hub)
    assert (done.code, done.text) == (1, "")
    assert "could not be fetched from the Hugging Face hub (404" in done.err
    assert "Traceback" not in done.err


def test_a_loaded_tokenizer_counts_what_its_file_says(tmp_path: Path) -> None:
    path = tmp_path / "ranks"
    path.write_text("YQ== 0\nYg== 1\nYWI= 2\n", "utf-8")  # a, b, ab
    tokenizer: Tokenizer = TiktokenFile(path)
    assert tokenizer.count(["a", "ab", "abab", "ba"]) == [1, 1, 2, 2]

"""Count the tokens of texts and messages with the tokenizers that a manifest locks.

Tokenizer files are read by path. ``tiktoken.get_encoding`` is never called, since it may delete the file and download
another one. Source: static.md, "Tokens of a message list".
"""

from __future__ import annotations

import base64
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Protocol

from twinbench.errors import TwinbenchError, UsageError
from twinbench.fingerprint import sha256_installed
from twinbench.routing.tiers import Tier
from twinbench.storage.manifests import StaticManifest, TokenizerFile

OFFLINE = "offline"

# The pattern that tiktoken publishes for cl100k_base. Special tokens are counted as ordinary text, so none are listed.
_CL100K_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+|"
    r" ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)

# tiktoken's regular expression engine panics if it backtracks over a million characters, as it does in white space.
_LONG_WHITESPACE = 100_000
_HUB_TIMEOUT_S = 5.0
_WHITESPACE = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")


class Tokenizer(Protocol):
    """Counts tokens."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        ...


class TiktokenFile:
    """The tokenizer of a rank file in tiktoken's format; special tokens in the text are counted as ordinary text."""

    def __init__(self, path: Path) -> None:
        from tiktoken import Encoding

        ranks: dict[bytes, int] = {}
        for line in path.read_bytes().splitlines():
            token, rank = line.split()
            ranks[base64.b64decode(token)] = int(rank)
        self._encoding = Encoding("cl100k_base", pat_str=_CL100K_PATTERN, mergeable_ranks=ranks, special_tokens={})

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        encode = self._encoding.encode_ordinary
        return [sum(len(encode(part)) for part in _split_long_whitespace(text, _LONG_WHITESPACE)) for text in texts]


def _split_long_whitespace(text: str, long: int) -> Iterator[str]:
    """Split a text within long runs of white space, at points where the tokenizer's pattern ends a piece anyway.

    Those points are after the last line break of the run, and before its last character, which the pattern keeps for
    the following word. The regular expression does not need to backtrack over white space at the end of a part.

    Args:
        text: the text.
        long: the number of characters from which a run of white space is split.
    """
    start = 0
    if len(text) >= long:
        for run in _WHITESPACE.finditer(text):
            if run.end() - run.start() < long or run.end() == len(text):
                continue
            after_break = max(text.rfind(end, run.start(), run.end()) for end in "\r\n") + 1
            for cut in (after_break, run.end() - 1):
                if cut > max(start, run.start()):
                    yield text[start:cut]
                    start = cut
    yield text[start:]


class TokenizersFile:
    """The tokenizer of a ``tokenizer.json`` file; its special tokens are recognised in the text."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer as HuggingFaceTokenizer

        self._tokenizer = HuggingFaceTokenizer.from_file(str(path))

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding) for encoding in encodings]


@cache
def _load_tokenizer(form: str, path: Path) -> Tokenizer:
    """Load a tokenizer, at most once per process: reading the file takes longer than counting a small bank."""
    return TiktokenFile(path) if form == "tiktoken" else TokenizersFile(path)


@dataclass(frozen=True)
class TokenizerSet:
    """The tokenizer of each tier, and the tokens that a chat format adds per message and per prompt."""

    name: str
    names: tuple[str, str, str, str]
    """Names of the tokenizers, indexed by tier."""
    files: Mapping[str, Path]
    """The file of each tokenizer, by tokenizer name."""
    formats: Mapping[str, str]
    tokens_per_message: int
    tokens_priming: int

    @cached_property
    def fingerprint_parts(self) -> dict[str, object]:
        """The parts of a score's fingerprint that identify the set: its name and the SHA-256 of each file."""
        return {
            "set": self.name,
            "tiers": list(self.names),
            "files": {name: sha256_installed(path) for name, path in sorted(self.files.items())},
        }

    def tokenizer_name(self, tier: Tier) -> str:
        """Return the name of a tier's tokenizer."""
        return self.names[tier]

    @cached_property
    def distinct_names(self) -> tuple[str, ...]:
        """The names of the set's tokenizers, each listed once."""
        return tuple(dict.fromkeys(self.names))

    @cached_property
    def tokenizers(self) -> dict[str, Tokenizer]:
        """The set's tokenizers by name, loaded on first use."""
        return {name: _load_tokenizer(self.formats[name], self.files[name]) for name in self.distinct_names}

    def count(self, texts: Sequence[str]) -> dict[str, list[int]]:
        """Return the number of tokens of each text, by tokenizer name; the tokenizers run in parallel threads."""
        tokenizers = self.tokenizers
        with ThreadPoolExecutor(len(tokenizers)) as pool:
            pending = {name: pool.submit(tokenizer.count, texts) for name, tokenizer in tokenizers.items()}
            return {name: counts.result() for name, counts in pending.items()}

    def prompt_tokens(self, text_tokens: Sequence[int]) -> int:
        """Return the number of tokens of a prompt, given the tokens of each message's text."""
        return sum(text_tokens) + self.tokens_per_message * len(text_tokens) + self.tokens_priming


def find_tokenizer_set(manifest: StaticManifest, name: str = OFFLINE) -> TokenizerSet:
    """Find the tokenizer set called ``name``, and fetch files from the Hugging Face hub if the set uses any.

    Raises:
        UsageError: the manifest has no such set.
        TwinbenchError: a file is missing, differs from its locked SHA-256, or cannot be fetched.
    """
    if name not in manifest.tokenizer_sets:
        raise UsageError(f"no tokenizer set {name!r}; {manifest.name} has {', '.join(manifest.tokenizer_sets)}")
    per_tier = manifest.tokenizer_sets[name]
    names = (per_tier.low, per_tier.mid, per_tier.mid_high, per_tier.high)
    return TokenizerSet(
        name=name,
        names=names,
        files={used: _locate(used, manifest.tokenizers[used]) for used in dict.fromkeys(names)},
        formats={used: manifest.tokenizers[used].format for used in dict.fromkeys(names)},
        tokens_per_message=manifest.tokens_per_message,
        tokens_priming=manifest.tokens_priming,
    )


def _locate(name: str, file: TokenizerFile) -> Path:
    path = _locate_in_package(name, file) if file.package is not None else _fetch_from_hub(name, file)
    if file.sha256 is not None and (found := sha256_installed(path)) != file.sha256:
        raise TwinbenchError(
            f"tokenizer {name}: {path} has SHA-256 {found} instead of the locked {file.sha256}; "
            "install the dependency versions of requirements.lock"
        )
    return path


def _locate_in_package(name: str, file: TokenizerFile) -> Path:
    assert file.package is not None  # noqa: S101 - the manifest's model requires exactly one of package and hub
    spec = importlib.util.find_spec(file.package)  # finds a top-level package without importing it
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(folder) / file.path
        if path.is_file():
            return path
    raise TwinbenchError(f"tokenizer {name}: no file {file.path} in the package {file.package}; install {file.package}")


def _fetch_from_hub(name: str, file: TokenizerFile) -> Path:
    assert file.hub is not None  # noqa: S101 - the manifest's model requires exactly one of package and hub
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    try:
        if not isinstance(try_to_load_from_cache(file.hub, file.path, revision=file.revision), str):
            # Without a network, a download is retried for half a minute; this request fails at once.
            get_hf_file_metadata(hf_hub_url(file.hub, file.path, revision=file.revision), timeout=_HUB_TIMEOUT_S)
        return Path(hf_hub_download(file.hub, file.path, revision=file.revision))
    except Exception as error:  # noqa: BLE001 - errors of its HTTP library come through, and that library changes between releases
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TwinbenchError(
            f"tokenizer {name}: {file.path} of {file.hub} could not be fetched from the Hugging Face hub ({reason}); "
            f"the set {OFFLINE!r} needs no network"
        ) from None

"""Features that learned routers share: what was said, as hashed words or by a model, and numbers of how the work goes.

Words are hashed by CRC-32, so that the same text has the same features in every process. Only the first message of a
user, the last two messages and the names of tools are read, each to a limit, so a decision takes as long on a long
conversation as on a short one. What a router's own earlier choices cost and what is warm are not features: in training
nobody knows what they will be.
"""

from __future__ import annotations

import itertools
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from twinbench.routers.minilm import read_model
from twinbench.routers.signals import Reader
from twinbench.routing.content import message_texts
from twinbench.routing.router import Call
from twinbench.routing.training import Features

WORD_BUCKETS = 65_536
STEP_FEATURES = 13
LAST_OBSERVED = 11
"""The place of the length of the last observation among the step features, as log(1 + characters)."""

_MOST_READ = 2_000
"""Characters at the start and at the end of a message."""

WORDS = "words"
MINILM = "minilm"
TEXT_FEATURES = (WORDS, MINILM)
"""How the text of a call is read: by hashed words, or by a small sentence model (``twinbench/routers/minilm.py``)."""

_FIRST, _LAST, _TOOL = "first:", "last:", "tool:"
"""Prefixes of words, by the place that they were found in."""

_WORD = re.compile(r"[a-z_]{2,}|\d+")
_RECENT = 3


class Featuriser:
    """Turns calls into features; what was read of a session's steps is kept until it ends."""

    def __init__(self, text: str = WORDS) -> None:
        """Make one that has read nothing.

        Args:
            text: one of ``TEXT_FEATURES``.
        """
        self._text = text
        self._reader = Reader()

    def read(self, call: Call) -> Features:
        """Read a call: its text, and ``STEP_FEATURES`` numbers.

        The text is read as hashed words and pairs of words, as log counts, or as sentence embeddings.
        """
        if self._text == MINILM:
            return Features([], [], self._numbers(call), read_sentence(call))
        counts: Counter[int] = Counter()
        for place, text in _read(call):
            counts.update(_hashed_words(place, _shorten_text(text)))
        values = [math.log1p(count) for count in counts.values()]
        length = math.sqrt(sum(value * value for value in values)) or 1.0
        return Features(list(counts), [value / length for value in values], self._numbers(call))

    def _numbers(self, call: Call) -> list[float]:
        steps = self._reader.steps(call)
        recent = steps[-_RECENT:]
        last = steps[-1] if steps else None
        commands = [step.command for step in steps]
        return [
            math.log1p(call.step_index),
            math.log1p(len(call.messages)),
            math.log1p(min(call.counted_tokens.values(), default=0)),
            math.log1p(len(call.tools)),
            sum(step.severity for step in recent),
            float(sum(step.failed for step in recent)),
            float(sum(step.passed for step in recent)),
            float(sum(step.edits for step in recent)),
            float(sum(step.reads for step in recent)),
            float(any(step.edits for step in steps)),
            float(len(commands) - len(set(commands))),
            math.log1p(0 if last is None else last.observed),
            0.0 if last is None else last.severity,
        ]

    def forget(self, session: str) -> None:
        """Drop what was read of a session."""
        self._reader.forget(session)


def read_sentence(call: Call) -> list[float]:
    """Return the sentence embeddings of a call: of the first message of a user, and of the last two messages.

    Raises:
        SentenceModelError: the model is not installed, or damaged.
    """
    texts = [(place, _shorten_text(text)) for place, text in _read(call)]
    [first] = [text for place, text in texts if place == _FIRST]
    return read_model().embed_call(first, [text for place, text in texts if place == _LAST])


def _read(call: Call) -> Iterator[tuple[str, str]]:
    """Return the texts of a call that are read, each with its place."""
    yield _FIRST, call.first_text("user")
    for message in call.messages[-2:]:
        yield _LAST, "\n".join(message_texts(message))
    for tool in call.tools:
        function = tool.get("function")
        yield _TOOL, str(function.get("name")) if isinstance(function, dict) else ""


@lru_cache(maxsize=256)
def _hashed_words(place: str, text: str) -> Counter[int]:
    """Count the hashed words and pairs of words of a text; kept, since most texts of a call were in the one before."""
    words = _WORD.findall(text.lower())
    pairs = (f"{one} {two}" for one, two in itertools.pairwise(words))
    return Counter(zlib.crc32(f"{place}{word}".encode()) % WORD_BUCKETS for word in (*words, *pairs))


def _shorten_text(text: str) -> str:
    return text if len(text) <= 2 * _MOST_READ else f"{text[:_MOST_READ]}\n{text[-_MOST_READ:]}"

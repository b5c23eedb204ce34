"""The card of a bank: what it holds and how its labels came about, as Markdown with the header that the hub reads.

``croissant.py`` has the same as Croissant.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from static_track.banks.bank import Bank
from static_track.banks.build_output import MANIFEST_FILE, find_build_rows
from twinbench.display.markup import TextTable, escape_markdown, markdown_table
from twinbench.display.wording import format_count, format_trajectories
from twinbench.errors import ContentError, Problem
from twinbench.fingerprint import sha256_file
from twinbench.reading.input_files import InputError, InputRows, open_input, read_regular
from twinbench.reading.strict_json import parse_json
from twinbench.routing.tiers import TIER_LABELS

_FIELDS: Mapping[str, str] = {
    "id": "Unique id of the row.",
    "benchmark": "Workload that the row belongs to.",
    "instance_id": "Trajectory that the row belongs to; unique within its workload.",
    "step_index": "Number of the call in its trajectory, from 1.",
    "total_steps": "Number of calls in the trajectory.",
    "messages": "Conversation that the model was sent, as OpenAI chat messages.",
    "functions": "Tools that the model was offered, as OpenAI function definitions; absent if none were offered.",
    "target_tier": "Label: the cheapest tier that was found sufficient for the call.",
    "target_tier_id": "The label as a number: 0 low, 1 mid, 2 mid_high, 3 high.",
    "group": "What the trajectory shares with others that are not independent of it; absent if it is independent.",
    "caveat": "What must accompany every number of the bank; absent if there is nothing to say.",
    "ranks_nothing": "Whether results on the bank rank nothing; absent if they rank routers.",
}
"""The fields of a row that twinbench reads, with their meaning."""

_OTHER = "A field of the bank's own."

_NO_LICENCE = "not declared"


@dataclass(frozen=True)
class DataFile:
    """The file with a bank's rows."""

    name: str
    """Its name; cards refer to it as a neighbour."""
    sha256: str
    """The SHA-256 (hex) of the file as it is, compressed or not."""
    size: int | None = None
    """Its size in bytes; None if it was not written yet."""


@dataclass(frozen=True)
class BankCard:
    """The content of a bank's card."""

    name: str
    rows: int
    trajectories: int
    groups: int
    labels: Mapping[str, Mapping[str, int]]
    """The number of rows by workload and label; empty if the rows have no labels."""
    fields: Mapping[str, str]
    """The fields that its rows have, with their meaning."""
    texts_only: bool
    """Whether every message is a text, or empty; False: some have parts."""
    file: DataFile
    caveat: str | None
    manifest: Mapping[str, Any] | None
    """The manifest of the build that made the bank; None if its labels came about elsewhere."""

    @property
    def licence(self) -> str | None:
        """The licence of the rows, as SPDX names it; None if nothing declares one."""
        licence: str | None = (self.manifest or {}).get("licence")
        return licence

    @property
    def sources(self) -> Sequence[str]:
        """The sources of the tasks."""
        sources: Sequence[str] = (self.manifest or {}).get("sources") or ()
        return sources

    @property
    def description(self) -> str:
        """One paragraph about the bank."""
        text = (self.manifest or {}).get("description") or "Recorded calls of LLM agents, for benchmarks of routers."
        return f"{str(text).rstrip('.')}."

    def markdown(self) -> str:
        """Return the card as Markdown."""
        parts = [
            _front_matter(self),
            f"# {escape_markdown(self.name)}\n\n{escape_markdown(self.description)}\n",
            *([] if self.caveat is None else [f"> {escape_markdown(self.caveat)}\n"]),
            f"## Rows\n\n{self._rows()}",
            f"## Labels\n\n{_bullets(self._how_labelled())}",
            f"## Licence and sources\n\n{_bullets(self._origin())}",
            f"## Fields of a row\n\n{_table(('Field', 'Meaning'), list(self.fields.items()))}",
            f"## Files\n\n{_table(('File', 'SHA-256'), self._files())}",
        ]
        return "\n".join(parts)

    def _rows(self) -> str:
        heads = ("Workload", "Rows", *TIER_LABELS)
        rows = [
            (name, sum(found.values()), *map(found.__getitem__, TIER_LABELS)) for name, found in self._label_counts()
        ]
        told = f"{format_count(self.rows, 'row')}, {format_trajectories(self.trajectories, self.groups)}.\n"
        return f"{told}\n{_table(heads, rows)}" if rows else told

    def _label_counts(self) -> Iterator[tuple[str, Counter[str]]]:
        every: Counter[str] = Counter()
        for name, found in self.labels.items():
            every.update(found)
            yield name, Counter(found)
        if len(self.labels) > 1:
            yield "all", every

    def _how_labelled(self) -> Iterator[str]:
        if self.manifest is None:
            yield "The bank was not built by twinbench: its file does not say how its labels came about."
            return
        told, search = self.manifest, self.manifest["search"]
        yield (
            "Every label comes from executions: a task is executed with a cheaper tier at one step, and the tier is "
            "enough if the task still passes its own check."
        )
        tried = format_count(search["cascade"], "candidate")
        yield f"Step rule {search['step_rule']}; at most {tried} of a tier tried."
        tiers = (f"{tier}: {', '.join(models)}" for tier, models in told["tiers"].items() if models)
        yield f"Candidates: {'; '.join(tiers)}."
        if missing := told["tiers_not_executed"]:
            yield f"No candidate, so no label: {', '.join(missing)}."
        left_out = Counter(each["reason"] for each in told["left_out"])
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(left_out.items()))
        of_them = f"{sum(left_out.values()):,} left out" + (f": {reasons}" if reasons else "")
        yield f"{format_count(told['tasks'], 'task')}, of which {of_them}."
        yield (
            f"{format_count(told['executions'], 'execution')} with {format_count(told['calls'], 'call')}, of which "
            f"{told['calls_from_cache']:,} from the response cache; {told['cost_usd']:.4f} USD of calls, "
            f"{told['spent_usd']:.4f} USD spent."
        )
        if (review := told["review"])["reviewed"]:
            low, high = review["interval"] or (None, None)
            interval = "" if low is None else f" [{low:.1f}, {high:.1f}]"
            share = "" if review["tight_percent"] is None else f", tight {review['tight_percent']:.1f} %{interval}"
            yield f"Reviewed by people: {review['reviewed']:,} of {review['may_be_lowered']:,} labels above low{share}."
        else:
            yield "No label was reviewed by a person."
        yield f"Executor: {told['executor']['kind']}."
        yield f"Fingerprint of everything that labels depend on: {told['fingerprint']}."

    def _origin(self) -> Iterator[str]:
        yield f"Licence: {self.licence or _NO_LICENCE}."
        yield from (f"Source: {source}" for source in self.sources)

    def _files(self) -> list[tuple[str, str]]:
        told = [(self.file.name, self.file.sha256)]
        others = (self.manifest or {}).get("sha256", {})
        named = ((name, f"{sha256} (uncompressed)") for name, sha256 in others.items() if name != self.file.name)
        return [*told, *named]


def card_of_build(folder: Path) -> BankCard:
    """Return the card of a bank in the directory of a finished build.

    Raises:
        UsageError: it is not a build's directory, or the build is not finished.
        ContentError: its files do not belong together.
    """
    rows, manifest = find_build_rows(folder)
    try:
        return BankCard(
            name=manifest["name"],
            rows=manifest["rows"],
            trajectories=manifest["trajectories"],
            groups=manifest["groups"],
            labels=manifest["labels"],
            **_shape(_rows_in(rows)),
            file=DataFile(rows.name, sha256_file(rows), rows.stat().st_size),
            caveat=manifest["caveat"],
            manifest=manifest,
        )
    except (KeyError, TypeError) as error:
        what = f"is not a manifest of a bank that was built ({type(error).__name__}: {error})"
        raise ContentError([Problem(str(folder / MANIFEST_FILE), None, None, what)]) from None


def card_of_bank(bank: Bank) -> BankCard:
    """Return the card of a bank of the store, whose file is what ``twinbench bank export -o NAME.jsonl`` writes.

    Raises:
        ContentError: the manifest that is kept with the bank is damaged.
    """
    info = bank.info
    counts = bank.label_counts()
    labels = {each["workload"]: {tier: each[tier] for tier in TIER_LABELS} for each in counts} if info.labelled else {}
    return BankCard(
        name=info.name,
        rows=info.rows,
        trajectories=info.trajectories,
        groups=info.groups,
        labels=labels,
        **_shape(bank.rows()),
        file=DataFile(f"{info.name}.jsonl", info.sha256),
        caveat=info.caveat,
        manifest=_kept_manifest(bank),
    )


def _rows_in(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a build, which are valid: a manifest names their hash."""
    with open_input(path) as file:
        yield from (json.loads(line) for line in InputRows(file).lines())


def _shape(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a card's statements about the rows' form, as arguments of ``BankCard``."""
    found: set[str] = set()
    texts_only = True
    for row in rows:
        found.update(row)
        texts_only = texts_only and not any(isinstance(message.get("content"), list) for message in row["messages"])
    known = {name: meaning for name, meaning in _FIELDS.items() if name in found}
    return {"fields": known | dict.fromkeys(sorted(found - _FIELDS.keys()), _OTHER), "texts_only": texts_only}


def _kept_manifest(bank: Bank) -> dict[str, Any] | None:
    path = bank.build_manifest
    if path is None:
        return None
    try:
        found: dict[str, Any] = parse_json(read_regular(path).decode())
    except (OSError, InputError, ValueError) as error:
        what = f"is damaged ({error}): import the bank again with --replace"
        raise ContentError([Problem(str(path), None, None, what)]) from None
    return found


def _front_matter(card: BankCard) -> str:
    """Return the header in YAML that the Hugging Face hub reads; JSON strings are YAML too."""
    licence = [] if card.licence is None else [f"license: {json.dumps(card.licence.lower())}"]
    tags = ["tags:", "- llm-routing", "- agents", "- twinbench"]
    return "\n".join(["---", *licence, f"pretty_name: {json.dumps(card.name)}", *tags, "---", ""])


def _bullets(lines: Iterator[str]) -> str:
    return "".join(f"- {escape_markdown(line)}\n" for line in lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    numbers = [bool(rows) and isinstance(cell, int) for cell in (rows[0] if rows else heads)]
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    return markdown_table(TextTable("", heads, numbers, cells, [False] * len(rows), ()))

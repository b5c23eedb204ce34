"""Import a file of rows as a bank: check, deduplicate and count tokens; completely or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from static_track.banks.bank_file import SCHEMA_VERSION, StepRow, TrajectoryRow, default_group_name, write_bank_file
from static_track.banks.bank_info import BankInfo
from static_track.banks.build_output import find_build_rows
from static_track.banks.rows import are_task_labels, canonical_line, compact_json, extra_json, foreign_row, row_problems
from static_track.banks.token_base import BaseRow, StepMessages, base_fingerprint, base_rows
from static_track.banks.unique_messages import UniqueMessages, number_of
from twinbench.display.progress import Progress, no_progress
from twinbench.errors import ContentError, Problem, UsageError
from twinbench.reading.input_files import is_folder, open_regular
from twinbench.reading.numbered import NumberedRow
from twinbench.reading.rows import MAX_PROBLEMS, STDIN, TRAJECTORY_SUFFIXES, Source, open_source
from twinbench.reading.validation import format_value
from twinbench.storage.manifest_files import heldout_instances, static_manifest
from twinbench.storage.manifests import StaticManifest
from twinbench.storage.store import Store
from twinbench.text.tokens import TokenizerSet, find_tokenizer_set

_LOOKED_AT_BYTES = 65_536
"""Bytes at either end of a file that are read to recognise its format."""


@dataclass(slots=True)
class _Row:
    """A valid row, reduced to references into the tables of unique parts."""

    number: int
    id: str
    workload: str
    instance_id: str
    step_index: int
    total_steps: int
    target: int | None
    messages: Sequence[int]
    functions_id: int | None
    extra: str
    group: str | None = None

    @property
    def trajectory(self) -> tuple[str, str]:
        return (self.workload, self.instance_id)


@dataclass
class ParsedBank:
    """All valid rows of a file in canonical order, with shared parts stored once, and the problems of the other
    rows.
    """

    rows: list[_Row] = field(default_factory=list)
    messages: UniqueMessages = field(default_factory=UniqueMessages)
    functions: dict[str, int] = field(default_factory=dict)
    caveats: set[str] = field(default_factory=set)
    """Caveats in the rows that must accompany numbers of the bank."""
    ranks_nothing: bool = False
    """Whether a row says that results on the bank rank nothing."""
    problems: list[Problem] = field(default_factory=list)

    def add(self, numbered_row: NumberedRow) -> None:
        """Add a valid row."""
        row = numbered_row.row
        functions_id = number_of(self.functions, compact_json(row["functions"])) if "functions" in row else None
        # Banks imported by earlier releases may have invalid values in these fields.
        group, caveat = (_nonblank_text(row.get(name)) for name in ("group", "caveat"))
        if caveat is not None:
            self.caveats.add(caveat)
        self.ranks_nothing |= row.get("ranks_nothing") is True
        self.rows.append(
            _Row(
                number=numbered_row.number,
                id=row["id"],
                workload=row["benchmark"],
                instance_id=row["instance_id"],
                step_index=row["step_index"],
                total_steps=row["total_steps"],
                target=row.get("target_tier_id"),
                messages=[self.messages.add(message) for message in row["messages"]],
                functions_id=functions_id,
                extra=extra_json(row),
                group=group,
            )
        )

    def add_trajectory(
        self,
        workload: str,
        instance_id: str,
        messages: Sequence[Mapping[str, Any]],
        prefixes: Sequence[int],
        functions: Sequence[Mapping[str, Any]],
        *,
        caveat: str | None = None,
    ) -> None:
        """Add the calls of one run, without labels.

        Args:
            workload: the workload of the rows.
            instance_id: the trajectory's instance id, new in this bank.
            messages: the messages of the conversation.
            prefixes: for each call, how many of the messages were sent with it.
            functions: the tools offered to the model; empty if the rows have no such field.
            caveat: the caveat that must accompany numbers of these calls; None if there is none.
        """
        if caveat is not None:
            self.caveats.add(caveat)
        extra = "{}" if caveat is None else extra_json({"caveat": caveat})
        numbers = [self.messages.add(message) for message in messages]
        functions_id = number_of(self.functions, compact_json(functions)) if functions else None
        for step, prefix in enumerate(prefixes, 1):
            self.rows.append(
                _Row(
                    number=len(self.rows) + 1,
                    id=f"{workload}/{instance_id}/{step}",
                    workload=workload,
                    instance_id=instance_id,
                    step_index=step,
                    total_steps=len(prefixes),
                    target=None,
                    messages=numbers[:prefix],
                    functions_id=functions_id,
                    extra=extra,
                )
            )

    @property
    def labelled(self) -> bool:
        """Whether the rows have labels."""
        return all(row.target is not None for row in self.rows)

    @property
    def has_task_labels(self) -> bool:
        """Whether the labels look like task labels that are repeated on every step."""
        return are_task_labels((row.trajectory, row.target) for row in self.rows)

    def sort_rows(self) -> None:
        """Sort the rows canonically: by workload, instance, step."""
        self.rows.sort(key=lambda row: (*row.trajectory, row.step_index))

    def trajectories(self) -> dict[tuple[str, str], int]:
        """Return the number of each trajectory, in canonical order."""
        return {place: number for number, place in enumerate(dict.fromkeys(row.trajectory for row in self.rows))}

    def groups(self) -> dict[tuple[str, str], str | None]:
        """Return the group that the rows of each trajectory name; None if they name none."""
        named: dict[tuple[str, str], set[str | None]] = {}
        for row in self.rows:
            named.setdefault(row.trajectory, set()).add(row.group)
        # Earlier releases did not check that all rows of a trajectory name the same group.
        return {place: next(iter(found)) if len(found) == 1 else None for place, found in named.items()}

    def base_rows(
        self, manifest: StaticManifest, tokenizers: TokenizerSet, progress: Progress = no_progress
    ) -> Iterator[BaseRow]:
        """Yield the numbers of each row that scoring needs."""
        trajectories = self.trajectories()
        steps = [
            StepMessages(number, trajectories[row.trajectory], row.step_index, row.target, row.messages)
            for number, row in enumerate(self.rows)
        ]
        tokens = self.messages.count_tokens(tokenizers, progress)
        return base_rows(steps, self.messages, tokens, manifest, tokenizers)

    def canonical_sha256(self) -> str:
        """Return the SHA-256 (hex) of the canonical export."""
        digest = hashlib.sha256()
        messages = self.messages.json
        functions = list(self.functions)
        for row in self.rows:
            line = canonical_line(
                id=row.id,
                benchmark=row.workload,
                instance_id=row.instance_id,
                step_index=row.step_index,
                total_steps=row.total_steps,
                messages=[messages[number] for number in row.messages],
                functions=None if row.functions_id is None else functions[row.functions_id],
                target=row.target,
                extra=row.extra,
            )
            digest.update(line.encode())
            digest.update(b"\n")
        return digest.hexdigest()


def read_bank(path: str, progress: Progress = no_progress) -> tuple[Source, ParsedBank]:
    """Read and check all rows of a file.

    Raises:
        UsageError: no such file, no known format, or trajectories of an agent.
    """
    _refuse_trajectories(path)
    parsed = ParsedBank()
    with open_source(path) as source:
        places = _SeenRows(source)
        for found in source.rows:
            if isinstance(found, Problem):
                parsed.problems.append(found)
            elif not parsed.rows and not parsed.problems and (what := foreign_row(found.row)) is not None:
                parsed.problems.append(source.problem(found.number, None, what))
                break
            elif problems := row_problems(found.row):
                parsed.problems += (source.problem(found.number, *problem) for problem in problems)
            elif conflicts := list(places.conflicts(found)):
                parsed.problems += conflicts
            else:
                parsed.add(found)
                progress("reading rows", len(parsed.rows), None)
            if len(parsed.problems) > MAX_PROBLEMS:
                break
    parsed.problems += islice(_missing_labels(source, parsed.rows), MAX_PROBLEMS)
    if not parsed.rows and not parsed.problems:
        parsed.problems.append(source.problem(None, None, "the file contains no rows"))
    parsed.sort_rows()
    return source, parsed


def _refuse_trajectories(path: str) -> None:
    """Refuse what can only be runs of an agent.

    Raises:
        UsageError: it is.
    """
    if path == STDIN:
        return
    is_trajectory = path.endswith(TRAJECTORY_SUFFIXES) or (path.endswith(".json") and _begins_as_trajectory(Path(path)))
    if is_trajectory or is_folder(Path(path)):
        what = "is a trajectory of an agent" if is_trajectory else "is a folder"
        raise UsageError(
            f"{path} {what}, and a bank is one file of rows: of runs of mini-swe-agent, add --format mini-swe-agent"
        )


def _begins_as_trajectory(path: Path) -> bool:
    """Whether a file begins, or ends, as mini-swe-agent writes its trajectories: an object, where a bank is a list."""
    try:
        with open_regular(path) as file:
            head = file.read(_LOOKED_AT_BYTES)
            file.seek(max(path.stat().st_size - _LOOKED_AT_BYTES, 0))
            tail = file.read(_LOOKED_AT_BYTES)
    except OSError:  # told by whoever reads it
        return False
    return head.lstrip().startswith(b"{") and any(b'"trajectory_format"' in part for part in (head, tail))


def import_bank(
    path: str, name: str, store: Store, *, replace: bool = False, progress: Progress = no_progress
) -> BankInfo:
    """Import a file, or the directory of a bank build, into the store as the bank ``name``.

    Raises:
        UsageError: the name exists and ``replace`` is False, or the file does not exist.
        ContentError: rows are invalid, or do not match the build's manifest; nothing was written.
        TwinbenchError: the store cannot be written; nothing was changed.
    """
    if not replace:
        store.refuse_existing(name)
    store.refuse_misplaced(name)
    manifest = None
    if path != STDIN and is_folder(Path(path)):
        file, manifest = find_build_rows(Path(path))
        path = str(file)
    source, parsed = read_bank(path, progress)
    if parsed.problems:
        raise ContentError(parsed.problems, hint="Nothing was imported.")
    return store_bank(
        parsed,
        name,
        store,
        source=Path(source.name).name.encode("utf-8", "backslashreplace").decode(),  # a file name need not be text
        source_sha256=source.digest(),
        build_manifest=manifest,
        replace=replace,
        progress=progress,
    )


def store_bank(
    parsed: ParsedBank,
    name: str,
    store: Store,
    *,
    source: str,
    source_sha256: str,
    build_manifest: Mapping[str, Any] | None = None,
    replace: bool = False,
    progress: Progress = no_progress,
) -> BankInfo:
    """Store checked rows, in canonical order, as the bank ``name``.

    Args:
        parsed: the rows.
        name: the bank's name.
        store: the store to write to.
        source: the name of the imported file.
        source_sha256: the SHA-256 of the imported file.
        build_manifest: the manifest of the build that made the bank, which is kept with it; None if there is none.
        replace: whether a bank of that name is replaced.
        progress: called as tokens are counted.

    Raises:
        UsageError: the name exists and ``replace`` is False.
        TwinbenchError: the store cannot be written; nothing was changed.
    """
    manifest = static_manifest()
    tokenizers = find_tokenizer_set(manifest)
    trajectories = parsed.trajectories()
    groups = parsed.groups()
    info = BankInfo(
        name=name,
        sha256=parsed.canonical_sha256(),
        source_sha256=source_sha256,
        source=source,
        rows=len(parsed.rows),
        trajectories=len(trajectories),
        groups=len({group or default_group_name(*place) for place, group in groups.items()}),
        workloads=tuple(dict.fromkeys(workload for workload, _ in trajectories)),
        heldout_trajectories=sum(
            _is_held_out(instance, groups[workload, instance]) for workload, instance in trajectories
        ),
        schema=SCHEMA_VERSION,
        base=base_fingerprint(manifest, tokenizers, parsed.messages.text_rules),
        imported=datetime.now(UTC).isoformat(timespec="seconds"),
        labelled=parsed.labelled,
        text_rules=parsed.messages.text_rules,
        task_labels=parsed.has_task_labels,
        caveats=tuple(sorted(parsed.caveats)),
        ranks_nothing=parsed.ranks_nothing,
    )
    folder = store.bank_dir(name)
    with store.new_folder(folder):
        _write(parsed, info, store, parsed.base_rows(manifest, tokenizers, progress), progress)
        _keep_manifest(build_manifest, info, store)
        before = store.current_content(name)
        try:
            store.write_pointer(name, info.to_json(), replace=replace)
        except BaseException:
            # A concurrent import of the same content may have won; then this file is the bank's.
            store.remove_bank_files(name, info.sha256)
            raise
        if not (folder / info.file_name).exists():  # removed by a concurrent import that replaced the same content
            _write(parsed, info, store, parsed.base_rows(manifest, tokenizers, progress), progress)
            _keep_manifest(build_manifest, info, store)
    for former in {before, *store.abandoned_contents(name)} - {info.sha256}:
        if former is not None:
            store.remove_bank_files(name, former)
    return info


def _keep_manifest(manifest: Mapping[str, Any] | None, info: BankInfo, store: Store) -> None:
    """Keep the manifest of the build that made a bank; a bank that was not built has none."""
    path = store.bank_dir(info.name) / info.manifest_name
    if manifest is not None:
        with store.replacing(path) as temporary:
            temporary.write_text(json.dumps(manifest, ensure_ascii=False), "utf-8")
    else:
        path.unlink(missing_ok=True)


def _is_held_out(instance: str, group: str | None) -> bool:
    """Whether a trajectory's instance is in heldout100, or its group, which several draws of one instance share."""
    return not heldout_instances().isdisjoint((instance, group))


def _write(parsed: ParsedBank, info: BankInfo, store: Store, base: Iterable[BaseRow], progress: Progress) -> None:
    """Write a bank's file into the store; no pointer refers to it yet."""
    trajectories = parsed.trajectories()
    groups = parsed.groups()
    path = store.bank_dir(info.name) / info.file_name
    with store.replacing(path) as temporary:
        progress("writing the bank", 0, None)
        try:
            write_bank_file(
                temporary,
                meta=info.to_meta(),
                trajectories=(
                    TrajectoryRow(
                        number, *place, heldout=_is_held_out(place[1], groups[place]), group_name=groups[place]
                    )
                    for place, number in trajectories.items()
                ),
                messages=list(zip(parsed.messages.semantic_ids, parsed.messages.json, strict=True)),
                functions=list(parsed.functions),
                steps=(
                    StepRow(
                        number,
                        row.id,
                        trajectories[row.trajectory],
                        row.step_index,
                        row.total_steps,
                        row.messages,
                        row.functions_id,
                        row.extra,
                    )
                    for number, row in enumerate(parsed.rows)
                ),
                base=base,
            )
        except duckdb.Error as error:
            raise store.write_error(path.parent, error) from None


def validate_file(path: str, progress: Progress = no_progress) -> tuple[int, list[Problem]]:
    """Return how many rows of a file are valid, and all its problems."""
    _, parsed = read_bank(path, progress)
    return len(parsed.rows), parsed.problems


def _nonblank_text(value: Any) -> str | None:
    """Return ``value`` if it is a non-blank string, else None."""
    return value if isinstance(value, str) and value.strip() else None


class _SeenRows:
    """Remembers the ids, steps and groups of rows, to find duplicates and contradictions."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._ids: dict[str, int] = {}
        self._steps: dict[tuple[str, str, int], int] = {}
        self._groups: dict[tuple[str, str], tuple[int, str | None]] = {}

    def conflicts(self, found: NumberedRow) -> Iterator[Problem]:
        """Yield the conflicts of a valid row with earlier rows."""
        row, unit = found.row, self._source.unit
        step = (row["benchmark"], row["instance_id"], row["step_index"])
        if (first := self._ids.setdefault(row["id"], found.number)) != found.number:
            yield self._source.problem(
                found.number, "id", f"{format_value(row['id'])} is a duplicate of {unit} {first}"
            )
        if (first := self._steps.setdefault(step, found.number)) != found.number:
            what = f"step {step[2]} of {step[0]}/{step[1]} is a duplicate of {unit} {first}"
            yield self._source.problem(found.number, "step_index", what)
        first, group = self._groups.setdefault(step[:2], (found.number, row.get("group")))
        if group != row.get("group"):
            here, there = ("none" if each is None else format_value(each) for each in (row.get("group"), group))
            what = f"{here}, but {there} in {unit} {first}: all rows of a trajectory must name the same group, or none"
            yield self._source.problem(found.number, "group", what)


def _missing_labels(source: Source, rows: Sequence[_Row]) -> Iterator[Problem]:
    """Yield rows without a label in a bank in which other rows have one."""
    first = next((row.number for row in rows if row.target is not None), None)
    for row in rows if first is not None else ():
        if row.target is None:
            what = f"is missing, but {source.unit} {first} has one: either all rows of a bank must have a label or none"
            yield source.problem(row.number, "target_tier", what)

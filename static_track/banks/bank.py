"""A bank in the store: its metadata, its rows, and its trajectories as routers see them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb

from static_track.banks import databases
from static_track.banks.bank_file import group_name_sql
from static_track.banks.bank_info import BankInfo, bank_info
from static_track.banks.near_duplicates import FirstMessage
from static_track.banks.near_duplicates import find_groups as near_duplicates_of
from static_track.banks.order import order_key
from static_track.banks.rows import canonical_line
from static_track.banks.splits import (
    WHOLE_BANK,
    BankPart,
    SplitPlan,
    TrajectoryLabel,
    load_split,
    parse_shares,
    part_columns,
    plan_split,
    split_path,
)
from static_track.banks.token_base import StepMessages
from static_track.banks.tools import as_openai_tools
from twinbench.display.frames import make_data_frame
from twinbench.errors import TwinbenchError, UsageError
from twinbench.routing.cache_policy import Prompt
from twinbench.routing.router import Candidate
from twinbench.routing.tiers import Tier
from twinbench.storage.store import Store, check_name
from twinbench.text.messages import Message, message_text

_PARSED_MESSAGES = 10_000
_REIMPORT_ADVICE = "import it again with --replace"


@dataclass(frozen=True)
class PrefixStep:
    """One row of a bank, with what a session needs of it."""

    row_no: int
    prompt: Prompt
    visible_tokens: Sequence[int] | None
    """Tokens of the assistant's recorded answer by tier; None for the trajectory's last row."""
    visible_text: str


@dataclass(frozen=True)
class Trajectory:
    """The rows of one trajectory (workload, instance) that the bank has, in order of their steps."""

    workload: str
    instance_id: str
    steps: Sequence[PrefixStep]


@dataclass(frozen=True)
class PartSize:
    """The size of a part of a bank."""

    rows: int
    trajectories: int
    groups: int


class Bank:
    """A bank opened for reading; any number of processes can open it at once."""

    def __init__(self, store: Store, info: BankInfo, path: Path) -> None:
        self.store = store
        self.info = info
        self.path = path
        try:
            self._connection = databases.connect(path)
        except duckdb.Error as error:
            raise _read_error(info.name, error) from None

    @classmethod
    def open(cls, name: str, store: Store | None = None) -> Self:
        """Open a bank that this release imported; ``opening.open_bank`` opens banks of older releases too.

        Raises:
            UsageError: the bank does not exist.
            TwinbenchError: its file is missing, damaged, or of a newer schema.
        """
        store = store or Store()
        info = bank_info(name, store)
        path = store.bank_dir(name) / info.file_name
        if not path.is_file():  # the bank was replaced since bank_info, or the file is really gone
            info = bank_info(name, store)
            path = store.bank_dir(name) / info.file_name
        if not path.is_file():
            raise TwinbenchError(f"the file of bank {name!r} is missing ({path}): {_REIMPORT_ADVICE}")
        return cls(store, info, path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        # DuckDB verifies blocks when it reads them, and raises plain duckdb.Error for a damaged one.
        if type(error) is duckdb.Error or isinstance(error, (duckdb.IOException, duckdb.FatalException)):
            raise _read_error(self.info.name, error) from error

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a separate connection to the opened file."""
        return self._connection.cursor()

    def df(self, kind: str | None = None) -> Any:
        """Return the rows as a data frame, without their messages: groups, labels, and tokens by tier.

        The column ``part`` has each row's part in the split named ``default``, and ``part_NAME`` that in split NAME.
        If the bank has a caveat, there is a column ``caveat``.

        Args:
            kind: ``pandas``, ``polars`` or ``pyarrow``; None: the first of them that is installed.

        Raises:
            UsageError: no data frame library is installed.
        """
        parts = part_columns(self.folder, self.info.sha256, self.heldout())
        prompts = ", ".join(f"prompt[{int(tier) + 1}] AS prompt_tokens_{tier.label}" for tier in Tier)
        result = self._connection.execute(f"""
            SELECT id, workload, instance_id, {self._group_name} AS "group", base.step_index, target,
                   len(messages) AS messages, {prompts},
                   output AS output_tokens, base.trajectory AS part
            FROM base JOIN step USING (row_no) JOIN trajectory ON trajectory.trajectory = base.trajectory
            ORDER BY row_no
        """)  # noqa: S608 - made of our own words and integers
        names = [column[0] for column in result.description or []]
        rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
        for row in rows:
            row["target"] = None if row["target"] is None else Tier(row["target"]).label
            trajectory = row["part"]
            row |= {column: part_of.get(trajectory) for column, part_of in parts.items()}
            if self.info.caveat is not None:
                row["caveat"] = self.info.caveat
        return make_data_frame(rows, kind)

    def require_labels(self) -> None:
        """Check that the bank has labels.

        Raises:
            UsageError: it has none.
        """
        if not self.info.labelled:
            raise UsageError(
                f"the bank {self.info.name!r} has no labels, so routers cannot be scored on it; to get a router's "
                f"decisions: twinbench static predict ROUTER --bank {self.info.name}"
            )

    @property
    def folder(self) -> Path:
        """The bank's folder in the store, with its sidecar files."""
        return self.store.bank_dir(self.info.name)

    def split(self, name: str | None) -> BankPart:
        """Return the part of the bank that ``--split`` names; without a name, the whole bank.

        Raises:
            UsageError: the part does not exist.
        """
        return WHOLE_BANK if name is None else load_split(self.folder, self.info.sha256, name, self.heldout())

    def make_split(self, name: str, parts: str, seed: int, *, near_duplicates: bool = True) -> SplitPlan:
        """Split the bank and save the split beside it, replacing a split of that name.

        Args:
            name: the split's name.
            parts: the parts with their shares, such as ``train=60,test=40``.
            seed: the seed of the random split.
            near_duplicates: keep trajectories that begin nearly alike in one part, like those of one group.

        Raises:
            UsageError: an invalid name, or invalid shares.
            StoreWriteError: the store cannot be written.
        """
        check_name("split", name)
        plan = self.plan_split(name, parse_shares(parts), seed, near_duplicates=near_duplicates)
        with self.store.replacing(split_path(self.folder, self.info.sha256, name)) as temporary:
            temporary.write_text(json.dumps(plan.to_json(self.info.sha256)) + "\n", "utf-8")
        return plan

    def plan_split(self, name: str, shares: Mapping[str, float], seed: int, *, near_duplicates: bool) -> SplitPlan:
        """Return the split that ``make_split`` would save; shares add up to 1."""
        found = near_duplicates_of(self.first_messages()) if near_duplicates else None
        return plan_split(name, self.labels(), shares, seed, found, self.named_groups())

    def row_nos(self, split: BankPart) -> list[int]:
        """Return the row numbers of a part of the bank."""
        if split.trajectories is None:
            return list(range(self.info.rows))
        rows = self._connection.execute(f"SELECT row_no FROM base WHERE {split.condition()} ORDER BY row_no").fetchall()  # noqa: S608
        return [row_no for (row_no,) in rows]

    def size(self, split: BankPart) -> PartSize:
        """Return the size of a part of the bank."""
        if split.trajectories is None:
            return PartSize(self.info.rows, self.info.trajectories, self.info.groups)
        row = self._connection.execute(f"""
            SELECT count(*), count(DISTINCT trajectory), count(DISTINCT {self._group_name})
            FROM base JOIN trajectory USING (trajectory) WHERE {split.condition()}
        """).fetchone()  # noqa: S608 - made of our own words and integers
        return PartSize(*(row or (0, 0, 0)))

    @property
    def _group_name(self) -> str:
        return group_name_sql(self._connection)

    def groups(self) -> list[str]:
        """Return the group of each trajectory, by trajectory number.

        Trajectories of one group are not independent of each other. If its rows name no group, a trajectory is a group
        by itself, named after its workload and instance.
        """
        rows = self._connection.execute(f"SELECT {self._group_name} FROM trajectory ORDER BY trajectory").fetchall()  # noqa: S608
        return [name for (name,) in rows]

    def named_groups(self) -> list[tuple[int, ...]]:
        """Return the trajectories of each group that has more than one."""
        members: dict[str, list[int]] = {}
        for number, name in enumerate(self.groups()):
            members.setdefault(name, []).append(number)
        return [tuple(numbers) for numbers in members.values() if len(numbers) > 1]

    def labels(self) -> list[TrajectoryLabel]:
        """Return what a split needs to know of each trajectory, such as the stratum that it belongs to."""
        rows = self._connection.execute("""
            SELECT trajectory, workload, instance_id, coalesce(max(target), 0), heldout -- without labels: one stratum
            FROM base JOIN trajectory USING (trajectory) GROUP BY ALL ORDER BY trajectory
        """).fetchall()
        return [TrajectoryLabel(*row) for row in rows]

    def first_messages(self) -> list[FirstMessage]:
        """Return the first user message of each trajectory that has one."""
        texts = self.messages_json()
        rows = self._connection.execute("""
            SELECT trajectory, workload, arg_min(messages, step_index)
            FROM step JOIN trajectory USING (trajectory) GROUP BY ALL ORDER BY trajectory
        """).fetchall()
        found = []
        for trajectory, workload, numbers in rows:
            messages = (json.loads(texts[number]) for number in numbers)
            first = next((each for each in messages if each.get("role") == "user"), None)
            if first is not None:
                found.append(FirstMessage(trajectory, workload, message_text(first)))
        return found

    @property
    def build_manifest(self) -> Path | None:
        """The file with the manifest of the build that made the bank; None if it was not built.

        Each trajectory of a built bank is a whole task, which its own check passed.
        """
        path = self.store.bank_dir(self.info.name) / self.info.manifest_name
        return path if path.is_file() else None

    def label_counts(self) -> list[dict[str, Any]]:
        """Count rows, trajectories, groups and labels of each workload, and its longest prompt in tokens of the high
        tier.
        """
        return self._count_by("workload", "true")

    def part_counts(self, trajectories: Sequence[int]) -> dict[str, Any]:
        """Count rows, trajectories, groups and labels of some trajectories."""
        counted = self._count_by("true", BankPart(None, tuple(trajectories)).condition())
        return {key: value for key, value in (counted[0] if counted else {}).items() if key != "workload"}

    def _count_by(self, group: str, condition: str) -> list[dict[str, Any]]:
        labels = ", ".join(f"count(*) FILTER (target = {int(tier)}) AS {tier.label}" for tier in Tier)
        result = self._connection.execute(f"""
            SELECT {group} AS workload, count(*) AS rows, count(DISTINCT trajectory) AS trajectories,
                   count(DISTINCT {self._group_name}) AS groups, {labels},
                   max(prompt[4]) AS longest_prompt_tokens
            FROM base JOIN trajectory USING (trajectory) WHERE {condition} GROUP BY 1 ORDER BY 1
        """)  # noqa: S608 - made of our own words and integers
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def prompt_tokens(self, split: BankPart) -> dict[Tier, int]:
        """Return the total tokens of all prompts in a part, under each tier's tokenizer."""
        sums = ", ".join(f"coalesce(sum(prompt[{int(tier) + 1}]), 0)" for tier in Tier)
        row = self._connection.execute(f"SELECT {sums} FROM base WHERE {split.condition()}").fetchone()  # noqa: S608
        return {tier: int(total) for tier, total in zip(Tier, row or (), strict=True)}

    def step_messages(self) -> list[StepMessages]:
        """Return the rows with their numbers, labels and message numbers."""
        rows = self._connection.execute("""
            SELECT row_no, step.trajectory, step.step_index, target, messages
            FROM step JOIN base USING (row_no) ORDER BY row_no
        """).fetchall()
        return [StepMessages(*row) for row in rows]

    def messages_json(self) -> list[str]:
        """Return the exact JSON of each unique message, by its number."""
        rows = self._connection.cursor().execute("SELECT json FROM message ORDER BY message_id").fetchall()
        return [text for (text,) in rows]

    def heldout(self) -> list[int]:
        """Return the trajectories that are instances of heldout100."""
        rows = self._connection.execute(
            "SELECT trajectory FROM trajectory WHERE heldout ORDER BY trajectory"
        ).fetchall()
        return [number for (number,) in rows]

    @cached_property
    def row_ids(self) -> Sequence[str]:
        """The ids of all rows, in canonical order."""

        def read() -> Sequence[str]:
            return tuple(row for (row,) in self._connection.execute("SELECT id FROM step ORDER BY row_no").fetchall())

        return databases.read_once(self.path, "row_ids", read)

    def lines(self, split: str | None = None) -> Iterator[str]:
        """Yield the rows, or those of a part, as lines of the canonical export; arguments and errors as for
        ``rows``.
        """
        part = self.split(split)
        cursor = self._connection.cursor()
        messages = self.messages_json()
        functions = dict(cursor.execute("SELECT functions_id, json FROM functions").fetchall())
        result = cursor.execute(f"""
            SELECT id, workload, instance_id, step.step_index, total_steps, messages, functions_id, target, extra
            FROM step JOIN trajectory USING (trajectory) JOIN base USING (row_no)
            WHERE {part.condition("step.trajectory")} ORDER BY row_no
        """)  # noqa: S608 - the condition is ours, made of integers
        while batch := result.fetchmany(256):
            for id_, workload, instance_id, step_index, total_steps, numbers, functions_id, target, extra in batch:
                yield canonical_line(
                    id=id_,
                    benchmark=workload,
                    instance_id=instance_id,
                    step_index=step_index,
                    total_steps=total_steps,
                    messages=[messages[number] for number in numbers],
                    functions=functions.get(functions_id),
                    target=target,
                    extra=extra,
                )

    def _presentation_order(self, order_seed: int) -> list[int]:
        """Return the numbers of all trajectories in the order in which routers see them."""
        found = self._connection.execute("SELECT trajectory, workload, instance_id FROM trajectory").fetchall()
        sha256 = self.info.sha256
        return [number for number, _, _ in sorted(found, key=lambda row: order_key(sha256, order_seed, *row[1:]))]

    def rows(self, split: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the rows as they were imported, in canonical order.

        Args:
            split: only this part of the bank, such as ``train``; None: the whole bank.

        Raises:
            UsageError: the part does not exist.
        """
        for line in self.lines(split):
            yield json.loads(line)

    def trajectories(
        self,
        candidates: Sequence[Candidate],
        split: BankPart = WHOLE_BANK,
        base_file: Path | None = None,
        *,
        order_seed: int = 0,
    ) -> Iterator[Trajectory]:
        """Yield the trajectories of a part of the bank, with prompts that contain nothing a router must not see.

        Their order reveals nothing about them (static_track.banks.order); each has its steps in order.

        Args:
            candidates: the candidates that a router may pick.
            split: the part.
            base_file: a sidecar file with the token counts of another tokenizer set.
            order_seed: the seed of the order.
        """
        cursor = self._connection.cursor()
        counts_from = "base"
        if base_file is not None:
            counts_from = databases.attach(cursor, base_file)
        semantic = [key for (key,) in cursor.execute("SELECT semantic_id FROM message ORDER BY message_id").fetchall()]
        stored = self.messages_json()
        parsed: dict[int, Message] = {}
        tools = {
            number: as_openai_tools(json.loads(text)) for number, text in cursor.execute("FROM functions").fetchall()
        }
        result = cursor.execute(
            f"""
            SELECT step.trajectory, workload, instance_id, row_no, step.step_index, messages, functions_id, prompt,
            visible
            FROM step JOIN trajectory USING (trajectory) JOIN {counts_from} AS counts USING (row_no)
                 JOIN (SELECT unnest($1) AS trajectory, generate_subscripts($1, 1) AS place) USING (trajectory)
            WHERE {split.condition("step.trajectory")} ORDER BY place, row_no
        """,  # noqa: S608 - the condition is ours, made of integers
            [self._presentation_order(order_seed)],
        )

        def message(number: int) -> Message:
            if number not in parsed:
                parsed[number] = json.loads(stored[number])
            return parsed[number]

        def make_trajectory(rows: list[Any]) -> Trajectory:
            steps = []
            for position, (_, _, _, row_no, step_index, numbers, functions_id, counts, visible) in enumerate(rows):
                prompt = Prompt(
                    messages=tuple(message(number) for number in numbers),
                    tools=tools.get(functions_id, ()),
                    step_index=step_index,
                    tokens={candidate.id: counts[candidate.tier] for candidate in candidates},
                    semantic_keys=[semantic[number] for number in numbers],
                )
                following = rows[position + 1][5][len(numbers) :] if position + 1 < len(rows) else ()
                said = [item for item in map(message, following) if item.get("role") == "assistant"]
                steps.append(PrefixStep(row_no, prompt, visible, "\n".join(map(message_text, said))))
            return Trajectory(rows[0][1], rows[0][2], steps)

        rows: list[Any] = []
        while batch := result.fetchmany(256):
            for row in batch:
                if rows and rows[0][0] != row[0]:
                    yield make_trajectory(rows)
                    rows = []
                    if len(parsed) > _PARSED_MESSAGES:
                        parsed.clear()
                rows.append(row)
        if rows:
            yield make_trajectory(rows)


def _read_error(name: str, error: duckdb.Error) -> TwinbenchError:
    return TwinbenchError(f"cannot read the bank {name!r} ({str(error).splitlines()[0]}): {_REIMPORT_ADVICE}")

"""The sources of tasks: SWE-bench Verified on the hub, a file of rows, a task repo, our own rehearsal tasks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from dynamic_track import harness
from dynamic_track.tasks.task import ANSWER_FILES, NEWER_FIELDS, Task, TaskSet, read_task
from twinbench.containers.building import context_content, context_files
from twinbench.errors import ContentError, Problem, TwinbenchError, UsageError
from twinbench.fingerprint import fingerprint
from twinbench.reading.input_files import MAX_ROW_BYTES, open_regular, path_exists, read_document
from twinbench.reading.rows import MAX_PROBLEMS, SUFFIXES, file_rows, require_file, row_unit
from twinbench.reading.strict_json import FaultyJsonError, parse_json
from twinbench.storage.manifest_files import DEFAULT_SPLITS, load_manifest
from twinbench.storage.manifests import NamedSplit, SplitsManifest

REHEARSAL = "rehearsal"
HUB_DATASETS = {"SWE-bench Verified": "SWE-bench/SWE-bench_Verified"}
"""The hub's name of each data set in the splits manifest, as swebench's own command line has it."""

_TASKS_FOLDER = "tasks"
_TASK_FILE = "task.yaml"
_DEPRECATED = "deprecated"
_TEST_PARQUET = re.compile(r"(?:.*/)?test(?:[-_.][^/]*|/[^/]+)?\.parquet")


@dataclass(frozen=True)
class _Rows:
    """What was read from a source: parsed rows, and the problems of rows that could not be parsed."""

    source: str
    rows: Iterable[_Row | Problem]


@dataclass(frozen=True)
class _Row:
    content: Any
    source: str
    number: int | None = None
    unit: str = "line"
    folder: Path | None = None
    build_fingerprint: str | None = None

    def problem(self, field: str | None, what: str) -> Problem:
        if self.folder is None:
            return Problem(self.source, self.number, field, what, self.unit)
        file = _TASK_FILE if field is None else harness.task_repo_files().get(field, _TASK_FILE)
        whole_file = file not in (_TASK_FILE, "tests.json")
        return Problem(str(self.folder / file), None, None if whole_file else field, what)


class HubError(TwinbenchError):
    """A data set that the hub does not give; ``what`` is that alone, for whoever takes a file by another option."""

    def __init__(self, what: str) -> None:
        """Make the error.

        Args:
            what: which data set, and why.
        """
        rows = "its rows are read from a local .jsonl, .jsonl.gz, .json or .parquet file"
        super().__init__(f"{what}; with --dataset FILE {rows}")
        self.what = what


def load_tasks(tasks: str, dataset: str | None = None) -> TaskSet:
    """Load the tasks of a set, given by name or path; every one of them is complete.

    Args:
        tasks: ``verified`` or ``heldout100`` (sorted by id), ``rehearsal``, a file of rows in SWE-bench's format
            (.jsonl, .jsonl.gz, .json, .parquet; in the file's order), or a folder in swebench's task-repo format (in
            the order of the folders' names, without those whose split is ``deprecated``).
        dataset: a file from which ``verified`` or ``heldout100`` is read, instead of the hub.

    Raises:
        UsageError: neither a name nor a path, or ``dataset`` with a set that does not need it.
        ContentError: a task lacks something that grading needs; every problem is named.
        TwinbenchError: the hub cannot be read, or swebench is not installed.
    """
    split = _splits().get(tasks)
    if split is not None:
        read = _from_hub(HUB_DATASETS[split.dataset]) if dataset is None else _from_file(Path(dataset))
        return _select_split(TaskSet(tasks, read.source, _read_rows(read)), split)
    if dataset is not None:
        raise UsageError(f"--dataset is only for {' and '.join(_splits())}; {tasks} needs no data set")
    if tasks == REHEARSAL:
        return _rehearsal()
    path = Path(tasks)
    if not path_exists(path) and not tasks.endswith(SUFFIXES) and "/" not in tasks:
        raise UsageError(f"there are no tasks {tasks!r}: give {_accepted_sources()}")
    read = _from_repo(path) if path.is_dir() else _from_file(path)
    return TaskSet(path.resolve().name, read.source, _read_rows(read))


@cache
def _rehearsal() -> TaskSet:
    """The tasks of our own, which are part of the package; to parse them takes a quarter of a second."""
    own = _read_rows(replace(_from_repo(Path(__file__).parents[1] / REHEARSAL), source=REHEARSAL))
    return TaskSet(REHEARSAL, REHEARSAL, tuple(replace(task, always_built=True) for task in own))


def local_task_ids(tasks: str, dataset: str | None = None) -> list[str]:
    """Return the ids of a set's tasks, for a shell's completion: nothing is downloaded or checked, and a set that is
    not on this machine gives no ids.

    Args:
        tasks: see ``load_tasks``.
        dataset: see ``load_tasks``.

    Raises:
        TwinbenchError: the local data cannot be read.
    """
    split = _splits().get(tasks)
    if split is not None and split.instances is not None:
        return sorted(split.instances)
    if tasks == REHEARSAL or (split is None and Path(tasks).is_dir()):
        repo = Path(__file__).parents[1] / REHEARSAL if tasks == REHEARSAL else Path(tasks)
        return sorted(file.parent.name for file in repo.glob(f"{_TASKS_FOLDER}/*/{_TASK_FILE}"))
    if split is not None and dataset is None:
        copy = _hub_copy(HUB_DATASETS[split.dataset])
        files = [] if copy is None else _test_files(copy)
    else:
        files = [file for file in (Path(dataset or tasks),) if file.name.endswith(SUFFIXES) and file.is_file()]
    rows = (found.row for file in files for found in file_rows(file) if not isinstance(found, Problem))
    ids = (row.get("instance_id") for row in rows if isinstance(row, Mapping))
    return sorted(each for each in ids if isinstance(each, str))


def _accepted_sources() -> str:
    names = ", ".join((*_splits(), REHEARSAL))
    return f"{names}, a file of rows ({', '.join(SUFFIXES)}), or a folder in task-repo format (with {_TASKS_FOLDER}/)"


def ids_of_named_set(name: str) -> tuple[int, frozenset[str] | None] | None:
    """Return how many tasks a set has that everybody has the same of, and their ids where these are known without the
    data; None where there is no such set.
    """
    if name == REHEARSAL:
        ids = frozenset(local_task_ids(REHEARSAL))
        return len(ids), ids
    split = _splits().get(name)
    if split is None:
        return None
    return split.count, None if split.instances is None else frozenset(split.instances)


def _splits() -> dict[str, NamedSplit]:
    manifest = load_manifest(DEFAULT_SPLITS)
    assert isinstance(manifest, SplitsManifest)  # noqa: S101 - the kind of the shipped file
    return {split.name: split for split in manifest.splits}


def _select_split(found: TaskSet, split: NamedSplit) -> TaskSet:
    """Return all tasks of a named split, sorted by id: the same from every source."""
    by_id = {task.id: task for task in found.tasks}
    if split.instances is None:
        wanted = sorted(by_id)
        if len(wanted) != split.count:
            what = f"has {len(wanted)} tasks, {split.name} has {split.count}"
            raise ContentError([Problem(found.source, None, None, what)])
    else:
        wanted = sorted(split.instances)
        if missing := [each for each in wanted if each not in by_id]:
            what = f"lacks {len(missing)} of the {split.count} tasks of {split.name}: {', '.join(missing)}"
            raise ContentError([Problem(found.source, None, None, what)])
    return replace(found, tasks=tuple(by_id[each] for each in wanted))


def _read_rows(read: _Rows) -> tuple[Task, ...]:
    """Read the tasks of rows; all of them or none.

    Raises:
        ContentError: a row is not valid, an id occurs twice, or there is no row.
    """
    tasks: dict[str, Task] = {}
    first: dict[str, _Row] = {}
    problems: list[Problem] = []
    for row in read.rows:
        if len(problems) > MAX_PROBLEMS:
            break
        if isinstance(row, Problem):
            problems.append(row)
            continue
        found = read_task(row.content, folder=row.folder, build_fingerprint=row.build_fingerprint)
        if not isinstance(found, Task):
            problems += [row.problem(*fault) for fault in found]
        given = row.content.get("instance_id") if isinstance(row.content, Mapping) else None
        if isinstance(given, str) and given in first:
            earlier = first[given]
            place = f"{earlier.unit} {earlier.number}" + (
                "" if earlier.source == row.source else f" of {earlier.source}"
            )
            problems.append(row.problem("instance_id", f"{given} is already at {place}"))
        elif isinstance(given, str):
            first[given] = row
            if isinstance(found, Task):
                tasks[found.id] = found
    if not problems and not tasks:
        problems = [Problem(read.source, None, None, "contains no task")]
    if problems:
        raise ContentError(problems, hint=_hint(problems))
    return tuple(tasks.values())


def _hint(problems: Sequence[Problem]) -> str | None:
    if any(problem.field in NEWER_FIELDS and problem.what == "is missing" for problem in problems):
        newer = ", ".join(NEWER_FIELDS)
        return (
            f"rows made for swebench before version 5 lack {newer}; {HUB_DATASETS['SWE-bench Verified']} on the hub "
            "has them"
        )
    return None


# Files of rows


def _from_file(path: Path) -> _Rows:
    require_file(path, SUFFIXES)
    return _Rows(str(path), _file_rows(path, str(path)))


def _file_rows(path: Path, name: str) -> Iterator[_Row | Problem]:
    unit = row_unit(path)
    for found in file_rows(path, name):
        yield found if isinstance(found, Problem) else _Row(found.row, name, found.number, unit)


# Task repos


def _from_repo(repo: Path) -> _Rows:
    root = repo / _TASKS_FOLDER
    try:
        if not root.is_dir():
            raise UsageError(
                f"{repo} is not a task repo: it has no folder {_TASKS_FOLDER}/; give {_accepted_sources()}"
            )
        folders = sorted(each for each in root.iterdir() if each.is_dir() and not each.name.startswith((".", "__")))
    except OSError as error:
        raise UsageError(f"cannot read {error.filename or root} ({error.strerror})") from None
    rows = (row for folder in folders for row in _folder_rows(folder))
    return _Rows(str(repo), rows)


def _folder_rows(folder: Path) -> Iterator[_Row | Problem]:
    """Yield the row of one task folder, or the problems of its files."""
    problems: list[Problem] = []
    task_file, tests_file = folder / _TASK_FILE, folder / "tests.json"
    meta: Any = None
    with _collect_problems(task_file, problems):
        if not task_file.is_file():
            yield Problem(str(folder), None, None, f"has no {_TASK_FILE}, so it is not a task")
            return
        _content(task_file)  # checks the size; swebench, which reads it, does not
        meta = harness.load_yaml(task_file)
        if isinstance(meta, Mapping) and meta.get("split") == _DEPRECATED:
            return
        if not isinstance(meta, Mapping):
            raise ValueError("is not a YAML mapping of fields")
        if meta.get("instance_id", folder.name) != folder.name:
            yield Problem(
                str(task_file), None, "instance_id", f"is {meta['instance_id']}, but its folder is named {folder.name}"
            )
    for file in sorted({*harness.task_repo_files().values()}):
        with _collect_problems(folder / file, problems):
            if not (folder / file).is_file():
                raise ValueError("is missing")
            content = _content(folder / file)
            if folder / file == tests_file:
                if not isinstance(parse_json(content.decode()), Mapping):
                    raise ValueError("is not a JSON object")
            else:
                content.decode()
    row = None
    if not problems:
        with _collect_problems(folder, problems):
            build = fingerprint(context_content(context_files(folder, ANSWER_FILES)))
            row = _Row(harness.load_task(folder), str(folder), folder=folder, build_fingerprint=build)
    yield from problems if row is None else (row,)


def _content(file: Path) -> bytes:
    with open_regular(file) as opened:
        return read_document(opened, MAX_ROW_BYTES)


@contextmanager
def _collect_problems(file: Path, problems: list[Problem]) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        problems.append(Problem(str(file), None, None, f"not UTF-8: byte {error.start + 1}"))
    except OSError as error:
        problems.append(Problem(str(error.filename or file), None, None, f"cannot be read ({error.strerror})"))
    except FaultyJsonError as error:
        problems += error.to_problems(str(file))
    except ValueError as error:
        problems.append(Problem(str(file), None, None, str(error)))


# The hub


def _from_hub(dataset: str) -> _Rows:
    """Read the rows of the split ``test`` of a data set on the Hugging Face hub; if it does not answer, of the last
    local copy.

    huggingface_hub's environment variables apply, such as ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME``,
    ``HF_HUB_OFFLINE`` and
    ``HF_HUB_ETAG_TIMEOUT``, the seconds to wait for an answer (10).
    """
    from huggingface_hub import HfApi, constants, hf_hub_download

    try:
        listed = HfApi().dataset_info(dataset, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        commit = listed.sha
        names = sorted(each.rfilename for each in listed.siblings or [] if _TEST_PARQUET.fullmatch(each.rfilename))
        files = [Path(hf_hub_download(dataset, name, repo_type="dataset")) for name in names]
    except Exception as error:  # noqa: BLE001 - errors of the hub library, its HTTP client and its transfer library
        if (folder := _hub_copy(dataset)) is None:
            first_line = str(error).strip().partition("\n")[0]
            raise _hub_error(dataset, f"{type(error).__name__}: {first_line}") from None
        commit, files = folder.name, _test_files(folder)
    if not files:
        raise _hub_error(dataset, "it has no Parquet file of a split named test")
    source = f"{dataset}@{commit}"
    return _Rows(source, (row for file in files for row in _file_rows(file, f"{source}/{file.name}")))


def _hub_copy(dataset: str) -> Path | None:
    """Return the folder of the last copy of a data set on this machine, or None. The hub is not contacted."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(dataset, repo_type="dataset", local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def _test_files(folder: Path) -> list[Path]:
    """Return the Parquet files of the split ``test`` in a copy of a data set."""
    return sorted(path for path in folder.rglob("*") if _TEST_PARQUET.fullmatch(path.relative_to(folder).as_posix()))


def _hub_error(dataset: str, reason: str) -> HubError:
    return HubError(f"{dataset} could not be read from the Hugging Face hub ({reason})")

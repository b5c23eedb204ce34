"""Measure how well a task's text predicts whether a model solves it; if it does not, no prompt-based router can work.

Words and pairs of neighbouring words are hashed, weighted by their inverse document frequency, and scored by ridge
regression. Cross-validation never has tasks of the same group (a repository) in both training and test data.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from twinbench.errors import ContentError, Problem, UsageError
from twinbench.outcomes.collecting import read_name
from twinbench.outcomes.table import Grid
from twinbench.reading.rows import SUFFIXES, file_rows, require_file
from twinbench.statistics.auc import Auc, stratified_auc
from twinbench.statistics.clusters import Floats, Ints

HASH_BUCKETS = 2**14
RIDGE = 1.0
"""The ridge penalty; feature vectors have length 1."""
FOLDS = 5
FOLD_ASSIGNMENTS = 5
"""Number of random assignments of groups to folds, whose results are averaged."""
MIN_TASKS = 50
_MAX_CHARACTERS = 20_000
"""Only this many characters of a text are used."""
_WORD = re.compile(r"\w+")
_TEXT_FIELDS = ("problem_statement", "text", "prompt", "question", "instruction")
_ID_FIELDS = ("instance_id", "task", "task_id", "id")
_GROUP_FIELDS = ("repo", "group")


@dataclass(frozen=True)
class Texts:
    """The texts and the groups of tasks, by task."""

    by_task: Mapping[str, str]
    groups: Mapping[str, str]


@dataclass(frozen=True)
class Predictability:
    """How well texts separate the tasks that a model solves from those that it does not."""

    model: str
    tasks: int
    solved: int
    auc: float | None
    """The probability that a solved task has a higher score than an unsolved one; 0.5 is chance level. None if no fold
    has both kinds."""
    interval: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        between = None if self.interval is None else list(self.interval)
        return {"model": self.model, "tasks": self.tasks, "solved": self.solved, "auc": self.auc, "interval": between}


def default_group(task: str) -> str:
    """Return the default group of a task: its id without the final number (``django__django`` of
    ``django__django-12345``).
    """
    return re.sub(r"[-_.]?\d+$", "", task) or task


def group_texts(by_task: Mapping[str, str], groups: Mapping[str, str] | None = None) -> Texts:
    """Make ``Texts``; a task without a given group gets its default group."""
    return Texts(by_task, {task: (groups or {}).get(task) or default_group(task) for task in by_task})


def read_texts(path: Path) -> Texts:
    """Read the texts of tasks from a file of rows with an id and a text, such as SWE-bench's.

    Raises:
        UsageError: the file does not exist, or its suffix is unknown.
        ContentError: a row is invalid.
    """
    require_file(path, SUFFIXES)
    texts: dict[str, str] = {}
    groups: dict[str, str] = {}
    problems: list[Problem] = []
    for found in file_rows(path):
        if isinstance(found, Problem):
            problems.append(found)
            continue
        row = found.row if isinstance(found.row, dict) else {}
        task = next((name for field in _ID_FIELDS if (name := _name_in(row, field)) is not None), None)
        text = next((row[name] for name in _TEXT_FIELDS if isinstance(row.get(name), str) and row[name].strip()), None)
        if task is None or text is None:
            what, wanted = ("name", _ID_FIELDS) if task is None else ("text", _TEXT_FIELDS)
            problems.append(Problem(str(path), found.number, None, f"has no {what} in any of {', '.join(wanted)}"))
            continue
        if texts.setdefault(task, text) != text:
            problems.append(Problem(str(path), found.number, None, f"{task} is in the file already, with another text"))
        group = next((row[name] for name in _GROUP_FIELDS if isinstance(row.get(name), str)), None)
        if group:
            groups[task] = group
    if problems:
        raise ContentError(problems)
    return group_texts(texts, groups)


def _name_in(row: Mapping[str, Any], field: str) -> str | None:
    """The name of a task as a table of outcomes has it; None where the field holds none."""
    try:
        return read_name(row.get(field))
    except ValueError:
        return None


def measure_predictability(grid: Grid, texts: Texts, *, level: float = 0.95, seed: int = 0) -> list[Predictability]:
    """Measure for each model how well the texts of tasks predict whether it solves them.

    Args:
        grid: the outcomes of one workload.
        texts: the texts of tasks; tasks without a text are left out.
        level: the confidence level of the intervals.
        seed: the seed for assigning groups to folds.

    Raises:
        UsageError: too few tasks have a text, or all are in the same group.
    """
    places = [place for place, task in enumerate(grid.tasks) if task in texts.by_task]
    if len(places) < MIN_TASKS:
        raise UsageError(
            f"{len(places)} of {len(grid.tasks)} tasks of workload {grid.workload} have a text: at least "
            f"{MIN_TASKS} are needed to learn from"
        )
    names = [grid.tasks[place] for place in places]
    groups = sorted({texts.groups[name] for name in names})
    if len(groups) < 2:
        raise UsageError(f"all tasks with a text are in one group ({groups[0]}); cross-validation needs at least two")
    group = np.array([groups.index(texts.groups[name]) for name in names])
    alike = _text_similarities([texts.by_task[name] for name in names])
    solved = grid.solved[:, places]
    known = np.isfinite(solved)
    truth = (np.nan_to_num(solved) >= 0.5).astype(np.intp)
    found: list[list[Auc | None]] = [[] for _ in grid.models]
    for deal in range(FOLD_ASSIGNMENTS):
        fold = _deal_folds(group, np.random.default_rng([seed, deal]))
        scores = _cross_validated_scores(alike, truth, known, fold)
        for number in range(len(grid.models)):
            here = known[number]
            found[number].append(stratified_auc(scores[number, here], truth[number, here], fold[here]))
    return [
        _summarise(model, truth[number, known[number]], [each for each in found[number] if each is not None], level)
        for number, model in enumerate(grid.models)
    ]


def _summarise(model: str, truth: Ints, found: Sequence[Auc], level: float) -> Predictability:
    """Average over the assignments to folds, including standard errors, since all assignments share the tasks."""
    tasks, solved = len(truth), int(truth.sum())
    if not found:
        return Predictability(model, tasks, solved, None, None)
    value = float(np.mean([each.value for each in found]))
    error = float(np.mean([each.standard_error for each in found]))
    return Predictability(model, tasks, solved, value, Auc(value, error, found[0].pairs).interval(level))


def _deal_folds(group: Ints, random: np.random.Generator) -> Ints:
    """Assign tasks to folds: groups in random order, each to the fold with the fewest tasks so far."""
    sizes = np.bincount(group)
    fold = np.zeros(len(sizes), np.intp)
    room = np.zeros(min(FOLDS, len(sizes)), np.intp)
    for number in random.permutation(len(sizes)).tolist():
        fold[number] = int(room.argmin())
        room[fold[number]] += sizes[number]
    return fold[group]


def _cross_validated_scores(alike: Floats, truth: Ints, known: Floats, fold: Ints) -> Floats:
    """Return the scores of all tasks for all models, each predicted from the other folds; shape (models, tasks)."""
    scores = np.zeros(truth.shape)
    for number in range(int(fold.max()) + 1):
        out, rest = fold == number, fold != number
        wanted = truth[:, rest].astype(np.float64)
        weight = known[:, rest].astype(np.float64)
        mean = (wanted * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1)
        centred = np.where(weight > 0, wanted - mean[:, None], 0.0)
        learnt = np.linalg.solve(alike[np.ix_(rest, rest)] + RIDGE * np.eye(int(rest.sum())), centred.T)
        scores[:, out] = (alike[np.ix_(out, rest)] @ learnt).T
    return scores


def _text_similarities(texts: Sequence[str]) -> Floats:
    """Return the inner products of all pairs of texts' feature vectors, which have length 1."""
    counts = [_count_features(text) for text in texts]
    seen = Counter(bucket for each in counts for bucket in each)
    features = np.zeros((len(texts), HASH_BUCKETS))
    for row, each in zip(features, counts, strict=True):
        for bucket, times in each.items():
            row[bucket] = (1 + math.log(times)) * math.log((1 + len(texts)) / (1 + seen[bucket]))
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    features /= np.where(lengths > 0, lengths, 1.0)
    return np.asarray(features @ features.T)


def _count_features(text: str) -> Counter[int]:
    """Count the words and pairs of neighbouring words of a text by hash bucket."""
    words = _WORD.findall(text[:_MAX_CHARACTERS].lower())
    pairs = (f"{first} {second}" for first, second in pairwise(words))
    return Counter(zlib.crc32(each.encode()) % HASH_BUCKETS for each in (*words, *pairs))

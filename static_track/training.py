"""A router trained on a part of a bank, and the folder that keeps what it learned."""

from __future__ import annotations

import fcntl
import glob
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from static_track.banks import databases
from static_track.banks.bank import Bank
from static_track.banks.bank import Trajectory as BankTrajectory
from static_track.banks.splits import HELDOUT, BankPart
from static_track.evaluator import Evaluator
from static_track.row_features import RowFeatures, row_features
from static_track.seen import seen_of
from twinbench.errors import TwinbenchError, UsageError
from twinbench.fingerprint import fingerprint, sha256_file
from twinbench.plugins.artefact import SEEN, Artefact, Manifest, find_damage, read_artefact
from twinbench.plugins.artefact_names import CODE, MANIFEST
from twinbench.plugins.loading import Located, load_trained, locate_for_training, open_for_training
from twinbench.plugins.spec import RouterSpec
from twinbench.plugins.training import FitLimits, TrainingError
from twinbench.routing.asking import ask_router
from twinbench.routing.cache_policy import StepTtl
from twinbench.routing.router import Call, Choice
from twinbench.routing.session import Session, session_key
from twinbench.routing.tiers import Tier
from twinbench.routing.training import Trajectory
from twinbench.storage.files import flush_file, flush_folder, make_folder

_SALT = "training"
"""Salt of the session keys, so that a router cannot recognise a session of its training when it is scored."""


def train(
    judge: Evaluator, spec: str, out: Path, *, part: BankPart | None = None, seed: int = 0, fit: FitLimits | None = None
) -> Artefact:
    """Train a router on a part of the judge's bank; instances of heldout100 are left out.

    Args:
        judge: the evaluator, with its rates, tokenizers and limits.
        spec: the router's spec.
        out: the folder that is made.
        part: the part to train on; None: the evaluator's.
        seed: seed of the order in which trajectories are given, and of random generators in the router's process.
        fit: what training may take.

    Raises:
        UsageError: ``out`` exists, the router is none that can be trained, or the part has nothing to train on.
        TrainingError: training failed; nothing was written.
    """
    if out.exists():
        raise UsageError(f"{out} exists: choose another --out, or remove it")
    judge.bank.require_labels()
    plugins = judge.plugins
    locate = locate_for_training(spec, plugins)
    try:
        with _partial_folder(out) as temporary:
            part = trainable_part(judge.bank, part or judge.split)
            calls = _learn(judge, spec, locate, part, temporary, seed, fit or FitLimits())
            _refuse_unusable(judge, spec, temporary, calls)
            for path in temporary.rglob("*"):
                if path.is_file():
                    flush_file(path)
            temporary.rename(out)
            flush_folder(out.parent)
    except OSError as error:
        raise TwinbenchError(f"cannot write {out} ({error.strerror or error})") from None
    return read_artefact(out)


@contextmanager
def _partial_folder(out: Path) -> Iterator[Path]:
    """Make a folder beside ``out`` to write into; it is removed at the end, or by the next training if we are killed.

    A process holds a lock of its folder as long as it lives, so a folder that can be locked is nobody's.

    Raises:
        OSError: it cannot be made.
    """
    make_folder(out.parent)
    for left in out.parent.glob(f".{glob.escape(out.name)}.{'[0-9a-f]' * 8}.partial"):
        with suppress(OSError), _locked(left) as is_nobodys:
            if is_nobodys:
                shutil.rmtree(left, ignore_errors=True)
    temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.partial")
    unlocked = temporary.with_suffix(".new")  # by its other name nobody takes it for one that was left
    unlocked.mkdir()
    try:
        with _locked(unlocked):
            unlocked.rename(temporary)
            yield temporary
    finally:
        for folder in (unlocked, temporary):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder; yields whether we have it: another process may, or the file system has no locks.

    Raises:
        OSError: the folder cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def trainable_part(bank: Bank, split: BankPart) -> BankPart:
    """A part of a bank without the instances of heldout100, on which nothing is trained.

    Raises:
        UsageError: nothing is left.
    """
    held_out = set(bank.heldout())
    numbers = range(bank.info.trajectories) if split.trajectories is None else split.trajectories
    left = tuple(number for number in numbers if number not in held_out)
    if not left or split.name == HELDOUT:
        raise UsageError(
            f"nothing to train on in {split.name or bank.info.name!r}: instances of heldout100 are for the last word"
        )
    return BankPart(split.name, left)


def training_fingerprint(bank: Bank, trajectories: Sequence[int], protocol: str) -> str:
    """Fingerprint of trajectories of a bank, given by number, and of how they are counted and priced."""
    return fingerprint({"bank": bank.info.sha256, "trajectories": trajectories, "protocol": protocol})


def training_trajectories(
    judge: Evaluator, part: BankPart, seed: int, features: RowFeatures | None = None
) -> Iterator[Trajectory]:
    """The trajectories of a part as routers are trained on them.

    Args:
        judge: the evaluator, with its rates, tokenizers and cache lifetime.
        part: the part of its bank.
        seed: seed of their order.
        features: the features of the bank's rows, for built-in routers; None: they read them themselves.
    """
    bank, manifest = judge.bank, judge.manifest
    cursor = bank.cursor()
    base = "base" if judge.base_file is None else databases.attach(cursor, judge.base_file)
    labels = {
        row_no: (Tier(target), output)
        for row_no, target, output in cursor.execute(f"SELECT row_no, target, output FROM {base}").fetchall()  # noqa: S608
    }
    groups = {
        (label.workload, label.instance_id): group for label, group in zip(bank.labels(), bank.groups(), strict=True)
    }
    for each in bank.trajectories(manifest.candidates(), part, judge.base_file, order_seed=seed):
        group = groups[each.workload, each.instance_id]
        known = () if features is None else [features.of(step.row_no) for step in each.steps]
        yield replace(_as_lesson(each, group, labels, judge), features=known)


def _as_lesson(
    trajectory: BankTrajectory, group: str, labels: Mapping[int, tuple[Tier, int]], judge: Evaluator
) -> Trajectory:
    """A trajectory with each tier led through all of it: what is shown is the strongest tier's way."""
    candidates = judge.manifest.candidates()
    key = session_key(_SALT, trajectory.workload, trajectory.instance_id)
    ways = {each: Session(key, candidates, StepTtl(judge.manifest.cache_ttl_steps)) for each in candidates}
    strongest = max(candidates, key=lambda each: each.tier)
    calls: list[Call] = []
    costs: list[dict[Tier, float]] = []
    for step in trajectory.steps:
        output = labels[step.row_no][1]
        cost: dict[Tier, float] = {}
        for candidate, session in ways.items():
            call = session.open_call(step.prompt)
            spoken = output if step.visible_tokens is None else step.visible_tokens[candidate.tier]
            session.record_answer(candidate, spoken, step.visible_text)
            usage = call.prompt_usage(candidate)
            cost[candidate.tier] = float(replace(usage, output=output).cost_usd(candidate.prices))
            if candidate is strongest:
                calls.append(call)
        costs.append(cost)
    targets = [labels[step.row_no][0] for step in trajectory.steps]
    return Trajectory(calls, targets, costs, trajectory.workload, group)


def _learn(
    judge: Evaluator, spec: str, locate: Located, part: BankPart, folder: Path, seed: int, fit: FitLimits
) -> list[Call]:
    """Train, and write everything into a folder; the calls of the trajectory that came first."""
    numbers = part.trajectories or ()
    limits = replace(judge.plugins, memory_mib=fit.memory_mib)
    first: list[Call] = []

    features = row_features(judge, locate.place["arguments"]) if locate.kind == "built-in" else None

    def lessons() -> Iterator[Trajectory]:
        for lesson in training_trajectories(judge, part, seed, features):
            if not first:
                first.extend(lesson.calls)
            yield lesson

    with open_for_training(spec, locate, limits, judge.manifest.candidates()) as router:
        router.fit(lessons(), len(numbers), seed, fit.fit_s, judge.progress)
        written = router.save(folder, locate.paths, fit.fit_s)
    (folder / SEEN).write_text(seen_of(judge.bank, numbers).model_dump_json() + "\n", "utf-8")
    files = {name: sha256_file(folder / name) for name in (*written, SEEN)}
    code = locate.identity["files"]
    if locate.kind != "built-in" and {f"{CODE}/{name}": sha256 for name, sha256 in code.items()} != {
        name: sha256 for name, sha256 in files.items() if name.startswith(f"{CODE}/")
    }:
        raise TrainingError(f"router {spec!r} could not be trained: its code changed meanwhile; nothing was written")
    manifest = Manifest.model_validate(
        {
            "kind": "trained router",
            "twinbench": version("twinbench"),
            "router": _portable(spec),
            "origin": locate.kind,
            "target": _target(locate),
            "attribute": locate.place["attribute"],
            "settings": locate.place["arguments"],
            "seed": seed,
            "code": {
                "fingerprint": fingerprint(locate.identity),
                **{name: locate.identity[name] for name in ("python", "files", "distributions")},
            },
            "data": _data(judge, part, numbers),
            "files": files,
        }
    )
    (folder / MANIFEST).write_text(json.dumps(manifest.model_dump(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return first


def _data(judge: Evaluator, part: BankPart, numbers: Sequence[int]) -> dict[str, Any]:
    """Return the manifest's section about the data."""
    size = judge.bank.size(part)
    return {
        "fingerprint": training_fingerprint(judge.bank, numbers, judge.protocol),
        "bank": judge.bank.info.name,
        "bank_sha256": judge.bank.info.sha256,
        "part": part.name,
        "rows": size.rows,
        "trajectories": size.trajectories,
        "groups": size.groups,
    }


def _target(locate: Located) -> str:
    """Return the place of a router as its artefact records it."""
    if locate.kind == "file":
        return Path(locate.place["target"]).name
    return str(locate.identity["built-in"] if locate.kind == "built-in" else locate.place["target"])


def _portable(spec: str) -> str:
    """A spec without the folder of its file."""
    name, mark, query = spec.partition("?")
    return re.sub(r"^.*/", "", name) + mark + query


def _refuse_unusable(judge: Evaluator, spec: str, folder: Path, calls: Sequence[Call]) -> None:
    """Load what was saved in a fresh process, and ask for a decision.

    Raises:
        TrainingError: it cannot be loaded, decides nothing, or writes into its folder.
    """
    plugins = judge.plugins
    failed = f"router {spec!r} could not be trained: what it saved"
    try:
        manifest = read_artefact(folder).manifest
        loaded = load_trained(RouterSpec(spec, "artefact", str(folder), "", {}), plugins)
        with loaded.open(judge.manifest.candidates()) as router:
            answer, _ = ask_router(router, calls[0])
    except TwinbenchError as error:
        raise TrainingError(f"{failed} is of no use: {error}; nothing was written") from None
    if not isinstance(answer, Choice):
        raise TrainingError(f"{failed} decides nothing: {answer}; nothing was written")
    if (damage := find_damage(folder, manifest)) is not None:
        raise TrainingError(f"{failed} does not stay as it was while it is used ({damage}); nothing was written")

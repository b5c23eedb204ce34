"""The parts of a bank that a submission names: the one that is scored, and the one its router was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from static_track.banks.bank import Bank
from static_track.banks.embedded_names import EMBEDDED
from static_track.banks.splits import HELDOUT, BankPart, split_of_part
from static_track.evaluator import protocol_fingerprint
from static_track.predictions import Predictions
from static_track.seen import Recogniser, seen_of
from static_track.training import trainable_part, training_fingerprint
from twinbench.checks import Status
from twinbench.errors import UsageError
from twinbench.plugins.seen import Overlap
from twinbench.storage.manifest_files import static_manifest
from twinbench.submissions.findings import Findings
from twinbench.submissions.manifest import SplitOfBank, StaticPart
from twinbench.submissions.trained import UNRECORDED, TrainedRouter
from twinbench.text.tokens import OFFLINE, find_tokenizer_set


def describe_split(bank: Bank, part: str | None) -> SplitOfBank | None:
    """Return how the split was made that a part is of; None for the whole bank, and for the held-out part.

    Raises:
        UsageError: there is no such part.
    """
    found = None if part is None else split_of_part(bank.folder, bank.info.sha256, part)
    if found is None:
        return None
    return SplitOfBank(
        name=found["name"],
        shares=found["shares"],
        seed=found["seed"],
        near_duplicates=found["near_duplicates"] is not None,
    )


def part_here(bank: Bank, part: StaticPart) -> BankPart:
    """Return the part that is claimed to be scored; the split is made again where the submission says how.

    Raises:
        UsageError: there is no such part.
    """
    if part.split is None or part.part is None or part.part == HELDOUT:
        return bank.split(part.part)
    return _part_of(bank, part.split, part.part)


def _part_of(bank: Bank, split: SplitOfBank, part: str) -> BankPart:
    plan = bank.plan_split(split.name, split.shares, split.seed, near_duplicates=split.near_duplicates)
    numbers = plan.parts.get(part.rpartition("/")[2])
    if numbers is None:
        raise UsageError(f"the split {split.name} has no part {part!r}")
    return BankPart(part, numbers)


def check_in_sample(
    recogniser: Recogniser,
    part: StaticPart,
    predicted: Predictions,
    trained: Sequence[TrainedRouter],
    findings: Findings,
    *,
    recorded: bool,
) -> bool:
    """Check that a router was not trained on what it is scored on, or that the submission says so.

    Args:
        recogniser: recognises rows of the part.
        part: the part of the submission, with its claims.
        predicted: the predictions, which may be marked.
        trained: the trained routers among the submission's files.
        findings: collects the checks.
        recorded: whether the record of each trained router is what training on its bank records.

    Returns:
        Whether the result is one on what the router was trained on, declared or not.
    """
    subject = part.predictions
    overlap = Overlap.union("groups", (recogniser.overlap(each.seen) for each in trained))
    if part.in_sample:
        findings.add("in-sample", subject, Status.passed, "declared: it is never ranked", value=len(overlap))
    elif overlap:
        what = f"the router was trained on what it is scored on ({overlap}), and the submission does not say so"
        findings.add("in-sample", subject, Status.failed, what, value=len(overlap))
    elif predicted.in_sample:
        what = "its predictions are marked as those of a router that was trained on these rows, the submission is not"
        findings.add("in-sample", subject, Status.failed, what)
    elif trained and not recorded:
        findings.add("in-sample", subject, Status.warned, f"{UNRECORDED} these rows", value=0)
    elif trained:
        told = "the router was trained on none of these groups, nor on near-duplicates of them"
        findings.add("in-sample", subject, Status.passed, told, value=0)
    return part.in_sample or predicted.in_sample or bool(overlap)


def check_absent_training(trained: TrainedRouter, banks: Mapping[str, str], findings: Findings) -> None:
    """Say that what a router was trained on is not here, or that there is no such thing.

    Args:
        trained: the trained router.
        banks: the names of the banks that are here, by SHA-256.
        findings: collects the checks.
    """
    data, subject = trained.manifest.data, trained.folder
    if (problem := _record_problem(trained)) is not None:
        findings.add("training", subject, Status.failed, problem)
    elif data.bank in EMBEDDED:  # these have the same content for everybody
        what = f"it was trained on a bank {data.bank} that is not the one of this release: train it again"
        findings.add("training", subject, Status.failed, what)
    else:
        other = "here as another bank of that name" if data.bank in banks.values() else "not here"
        what = f"it was trained on {data.bank}, which is {other}: what it has seen is its own word"
        findings.add("training", subject, Status.warned, what)


def _record_problem(trained: TrainedRouter) -> str | None:
    """Return what contradicts itself in a trained router's record, whatever it was trained on."""
    recorded, told = len(trained.seen.groups), trained.manifest.data.groups
    if recorded == told:
        return None
    return f"it was trained on {told:,} groups, and its record of what it has seen names {recorded:,}"


def check_training(bank: Bank, trained: TrainedRouter, parts: Sequence[StaticPart], findings: Findings) -> bool:
    """Check that a trained router's record of its training data is what training on that part of the bank records.

    Args:
        bank: the one that it names, by its digest.
        trained: the trained router.
        parts: the submission's, whose splits may be that of the training data.
        findings: collects the checks.

    Returns:
        Whether it is.
    """
    data, subject = trained.manifest.data, trained.folder
    told = bank.info.name if data.part is None else f"the part {data.part} of {bank.info.name}"
    for split in _parts_named(bank, data.part, parts):
        try:
            numbers = trainable_part(bank, split).trajectories or ()
        except UsageError:
            continue
        if data.part is None or _fingerprint(bank, numbers) == data.fingerprint:
            size = bank.size(BankPart(data.part, numbers))
            same = (data.rows, data.trajectories, data.groups) == (size.rows, size.trajectories, size.groups)
            return findings.judge(
                "training",
                subject,
                []
                if same and seen_of(bank, numbers) == trained.seen
                else [f"what it says that it has seen is not what training on {told} records"],
                f"it has seen what training on {told} records",
            )
    if data.part == HELDOUT:
        what = f"it was trained on {told}, on which training trains nothing"
        findings.add("training", subject, Status.failed, what)
        return False
    if (problem := _record_problem(trained)) is not None:
        findings.add("training", subject, Status.failed, problem)
        return False
    what = f"it was trained on {told}, which is not a part of that bank here: what it has seen cannot be checked"
    findings.add("training", subject, Status.warned, what)
    return False


def _parts_named(bank: Bank, name: str | None, parts: Sequence[StaticPart]) -> Iterator[BankPart]:
    """Yield what the name of a part may mean: of the splits that a submission describes, and of those that are here."""
    described: list[SplitOfBank] = []
    for each in parts:
        if each.bank_sha256 == bank.info.sha256 and each.split is not None and each.split not in described:
            described.append(each.split)
    for split in described if name is not None else ():
        try:
            yield _part_of(bank, split, str(name))
        except UsageError:
            continue
    try:
        yield bank.split(name)
    except UsageError:
        return


def _fingerprint(bank: Bank, numbers: Sequence[int]) -> str:
    manifest = static_manifest()
    return training_fingerprint(bank, numbers, protocol_fingerprint(manifest, find_tokenizer_set(manifest, OFFLINE)))

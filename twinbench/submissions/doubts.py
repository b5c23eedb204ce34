"""What a full forgery could still get past, by how far a verification went, and what closes it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from twinbench.submissions.manifest import Division, SubmissionManifest
from twinbench.submissions.report import Doubt, Level, SignatureFound


def doubts_left(
    manifest: SubmissionManifest, levels: Collection[Level], signature: SignatureFound
) -> tuple[Doubt, ...]:
    """Return what is not verified of a submission.

    Args:
        manifest: the submission's.
        levels: the levels that were run.
        signature: its signature, as far as it was verified.
    """
    found = [*_of_all(signature)]
    if manifest.static:
        found += _of_static(levels)
    if manifest.live:
        found += _of_live(manifest, levels)
    return tuple(found)


def _of_all(signature: SignatureFound) -> Iterator[Doubt]:
    if signature.signer is None:
        yield Doubt(
            what="who submitted it: a name in the manifest is a claim",
            closed_by="a signature (submit pack --sign) by a key in the maintainer's file of signers (--signers)",
        )


def _of_static(levels: Collection[Level]) -> Iterator[Doubt]:
    if Level.ask not in levels:
        yield Doubt(
            what="that this router decides so: predictions may be written by hand, from the labels",
            closed_by="--ask, where the router's files are submitted; a closed router's decisions stay a claim",
        )
    yield Doubt(
        what="that the router was made without the labels of these rows: constants tuned on them look like any others",
        closed_by="rows that are published after the submission",
    )
    yield Doubt(
        what="how long decisions take: a file of predictions has no times",
        closed_by="--rerun of a live run, whose own times are compared",
    )


def _of_live(manifest: SubmissionManifest, levels: Collection[Level]) -> Iterator[Doubt]:
    if Level.grade not in levels and Level.replay not in levels:
        yield Doubt(
            what="that patches pass the tests: verdict, test lists and patch can be written anew together",
            closed_by="--grade, which costs no money",
        )
    if Level.replay not in levels:
        yield Doubt(
            what="that commands give the recorded observations, that the prompts are the task's, that this router "
            "decided",
            closed_by="--replay, which costs no money",
        )
    if all(part.division is Division.rehearsal for part in manifest.live):
        return
    if Level.rerun not in levels:
        yield Doubt(
            what="that the models that are named were called, what they billed, and how long anything took: responses "
            "and usage are text like any other",
            closed_by="--rerun, or the provider's own export of requests",
        )
    yield Doubt(
        what="that the run is not the best of many: a commitment that is posted before it says which cases it is of, "
        "and leaves open how often it was run",
        closed_by="the number and hash of each case's end posted as it happens (dynamic audit --head), or a run "
        "through the maintainer's own gateway",
    )

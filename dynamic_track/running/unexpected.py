"""The last wall around a case: an error that nobody foresaw ends that case alone, and the others go on."""

from __future__ import annotations

from dynamic_track.running.run_dir import RunDirectory
from twinbench.calls.lines import End, VerdictLine
from twinbench.calls.redaction import Secrets
from twinbench.calls.trial_log import TrialLog
from twinbench.causes import Cause
from twinbench.fingerprint import sha256_text
from twinbench.unexpected import describe_error, is_disk_failure, traceback_text

TRACEBACK_FILE = "internal-error.txt"
"""In a case's folder: the traceback."""


def record_unexpected(error: Exception, log: TrialLog, run: RunDirectory, secrets: Secrets) -> None:
    """Give a case the cause ``internal``: its verdict, where the agent has come to its own end, else the case itself.

    What was in flight is settled at its reservation. The traceback is written into the case's folder.

    Args:
        error: what nobody foresaw.
        log: of the trial.
        run: where its folder is.
        secrets: what must not be written down.

    Raises:
        Exception: ``error`` itself, where it comes of the disk: the run cannot go on.
        JournalError: the journal cannot be written, so that the case cannot be recorded.
    """
    if is_disk_failure(error):
        raise error
    case, trial = log.recording.case, log.recording.trial
    try:
        run.write(case, trial, TRACEBACK_FILE, secrets.redacted(traceback_text(error)))
        place = f"the traceback is in {run.case(case, trial).relative_to(run.path) / TRACEBACK_FILE}"
    except OSError as failed:
        if is_disk_failure(failed):
            raise
        place = f"the traceback could not be written ({failed.strerror or failed})"
    detail = secrets.redacted(f"{describe_error(error)}; {place}")
    log.settle_lost()
    end = log.recording.end
    if end is not None and end.cause is None:
        verdict = VerdictLine(**log.stamp(), resolved=None, cause=Cause.internal, detail=detail, fingerprint=None)
        log.write(verdict, sync=True)
    else:
        record_end(log, Cause.internal, detail)


def record_end(log: TrialLog, cause: Cause, detail: str) -> None:
    """Write down that a trial was ended by something else than its agent."""
    nothing = {"patch": b"", "patch_sha256": sha256_text("")}
    log.write(End(**log.stamp(), exit_status=str(cause), **nothing, cause=cause, detail=detail), sync=True)

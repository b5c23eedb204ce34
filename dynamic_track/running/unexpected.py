"""Contain unexpected errors: an unexpected error ends its own case only, and the others continue."""

from __future__ import annotations

from dynamic_track.running.run_dir import RunDirectory
from twinbench.calls.lines import End, VerdictLine
from twinbench.calls.redaction import Secrets
from twinbench.calls.trial_log import TrialLog
from twinbench.causes import Cause
from twinbench.fingerprint import sha256_text
from twinbench.unexpected import describe_error, is_disk_failure, traceback_text

TRACEBACK_FILE = "internal-error.txt"
"""The file in a case's folder with the traceback of an unexpected error."""


def record_unexpected(error: Exception, log: TrialLog, run: RunDirectory, secrets: Secrets) -> None:
    """Record cause ``internal``: for the verdict if the agent has ended by itself, else for the case.

    Attempts in flight are settled at their reservations. The traceback is written into the case's folder.

    Args:
        error: the unexpected error.
        log: the trial's log.
        run: the run directory.
        secrets: secrets that must not be written down.

    Raises:
        Exception: ``error`` itself, if it is a disk failure: the run cannot continue.
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
    """Record that a trial was ended by something other than its agent."""
    nothing = {"patch": b"", "patch_sha256": sha256_text("")}
    log.write(End(**log.stamp(), exit_status=str(cause), **nothing, cause=cause, detail=detail), sync=True)

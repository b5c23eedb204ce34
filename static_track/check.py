"""``twinbench router check``: checks of a router that its author should run before it is scored.

Each check asks the router about real prompts in fresh processes, and compares the decisions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import zip_longest
from statistics import median, quantiles
from typing import Any

from static_track.banks.bank import Bank, PrefixStep, Trajectory
from static_track.banks.bank_info import BankInfo
from static_track.banks.order import order_key
from static_track.banks.splits import WHOLE_BANK
from static_track.leaks.routers import score_leaks
from static_track.odd_prefixes import ODD, REWRITES
from static_track.predict import MAX_FAILURES_IN_A_ROW, SESSION_SALT
from static_track.predictions import TIMES_SLOWER
from static_track.seen import Recogniser
from static_track.trajectory_walk import TrajectoryWalk
from twinbench.checks import CheckResult, Status
from twinbench.display.progress import Progress, no_progress
from twinbench.display.wording import format_count
from twinbench.plugins.limits import PluginLimits, RouterLoadError
from twinbench.plugins.loading import load_router
from twinbench.plugins.process_router import ProcessRouter
from twinbench.plugins.seen import Overlap, read_seen
from twinbench.routing.asking import ask_router, call_hook
from twinbench.routing.cache_policy import Prompt, StepTtl
from twinbench.routing.router import Choice, Router
from twinbench.routing.router_llm import NoRouterLlm
from twinbench.routing.session import Session, session_key
from twinbench.routing.tiers import Tier
from twinbench.storage.manifest_files import static_manifest
from twinbench.storage.manifests import StaticManifest
from twinbench.testing import make_prompt

DEFAULT_ROWS = 200
SLOW_P95_MS = 1000.0
SLOW_FIRST_MS = 1000.0

_NO_LLM = "router check provides no LLM: a router that cannot decide without one fails here"


@dataclass(frozen=True)
class CheckReport:
    """The results of all checks of a router."""

    router: str
    bank: BankInfo
    rows: int
    order_seed: int
    """Seed of the order in which the router saw the trajectories first."""
    checks: Sequence[CheckResult]
    cut_short: bool = False
    """Whether the other checks were not run, since the router answers nothing."""

    @property
    def failed(self) -> list[str]:
        """The names of the checks that failed."""
        return [check.name for check in self.checks if check.status is Status.failed]

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {
            "router": self.router,
            "bank": self.bank.name,
            **({} if self.bank.caveat is None else {"caveat": self.bank.caveat}),
            "rows": self.rows,
            "order_seed": self.order_seed,
            "ok": not self.failed,
            "cut_short": self.cut_short,
            "checks": [check.to_json() for check in self.checks],
        }


@dataclass
class _Answers:
    """A router's answers in one run: the picked candidate's id, or the error, by row."""

    picked: dict[int, str] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    route_ms: list[float] = field(default_factory=list)
    """How long ``route`` took, as measured in the router's own process."""
    mutations: int = 0
    accesses: list[str] = field(default_factory=list)
    memory_mib: float | None = None
    given_up: bool = False
    """Whether the router was stopped after too many failures in a row."""

    def differing_rows(self, other: _Answers) -> list[int]:
        """Return the rows that two runs answer differently; failures count as equal, whatever their text."""
        rows = (self.picked.keys() | self.failed.keys()) & (other.picked.keys() | other.failed.keys())
        return sorted(row_no for row_no in rows if self.picked.get(row_no) != other.picked.get(row_no))


def check_router(
    spec: str,
    bank: Bank,
    limits: PluginLimits | None = None,
    *,
    rows: int = DEFAULT_ROWS,
    order_seed: int = 0,
    perturb: bool = False,
    progress: Progress = no_progress,
) -> CheckReport:
    """Ask a router about some trajectories of a bank in several ways, and compare its decisions.

    Args:
        spec: the router's spec.
        bank: an opened bank.
        limits: limits of the router's process.
        rows: about how many rows to ask about; whole trajectories are used.
        order_seed: determines which trajectories are used, and their order in the first run.
        perturb: also make harmless changes to prompts and count decisions that flip.
        progress: called as the checks proceed.

    Raises:
        UsageError: the router is not found, or its arguments are invalid.
    """
    checker = _Checker(spec, replace(limits or PluginLimits(), watch=True), static_manifest(), progress)
    trajectories = checker.sample(bank, rows, order_seed)
    reordered = _reorder(trajectories, bank, order_seed)
    calls = sum(len(trajectory.steps) for trajectory in trajectories)
    names = bank.row_ids
    try:
        first = checker.run_sequentially(trajectories, SESSION_SALT)
    except RouterLoadError as failure:
        advice = "Mend what was seen; a router runs in a process of its own, in an empty folder and with few variables."
        failed = CheckResult("loads", spec, Status.failed, str(failure), advice=advice)
        return CheckReport(spec, bank.info, calls, order_seed, [failed], cut_short=True)
    if first.given_up:
        given_up = [_loads(spec, first), _answers(spec, first, calls, names)]
        return CheckReport(spec, bank.info, calls, order_seed, given_up, cut_short=True)
    again = checker.run_sequentially(trajectories, SESSION_SALT)
    other_order = checker.run_sequentially(reordered, SESSION_SALT)
    mixed = checker.run_interleaved(reordered, SESSION_SALT)
    renamed = checker.run_sequentially(trajectories, "another-salt")
    checks = [
        _loads(spec, first),
        _answers(spec, first, calls, names),
        _comparison_check(
            "determinism",
            spec,
            first.differing_rows(again),
            names,
            "two fresh processes make the same decisions",
            "Seed random draws with call.session and call.step_index; sort the elements of sets.",
        ),
        _comparison_check(
            "order of sessions",
            spec,
            first.differing_rows(other_order),
            names,
            "decisions do not depend on the order of sessions",
            "Decide by what the call shows. How many sessions came before says nothing about a task.",
        ),
        _comparison_check(
            "sessions",
            spec,
            other_order.differing_rows(mixed),
            names,
            "interleaved sessions get the same decisions as single ones",
            "Keep state per call.session, never in one variable for all sessions.",
        ),
        _comparison_check(
            "session keys",
            spec,
            first.differing_rows(renamed),
            names,
            "decisions do not depend on session keys",
            "A key says nothing about a call. Only a router that draws at random may use it, as a seed.",
            differs=Status.warned,
        ),
        *([] if first.memory_mib is None else [_check_mutation(spec, first), _check_label_blindness(spec, first)]),
        checker.check_odd_content(),
        _first_decision(spec, first),
        _latency(spec, first),
    ]
    if perturb:
        checks.append(checker.check_perturbation(trajectories, names))
    if bank.info.labelled:
        seen = checker.seen_in(bank)
        checks.append(_check_leaks(spec, bank, first, progress) if not seen else _not_scored(spec, seen))
    return CheckReport(spec, bank.info, calls, order_seed, checks)


def _reorder(trajectories: Sequence[Trajectory], bank: Bank, order_seed: int) -> list[Trajectory]:
    """Return the same trajectories in the order of the next seed that changes the order."""

    def place(trajectory: Trajectory) -> str:
        return order_key(bank.info.sha256, order_seed, trajectory.workload, trajectory.instance_id)

    reordered = list(trajectories)
    while len(trajectories) > 1 and reordered == trajectories:
        order_seed += 1
        reordered = sorted(trajectories, key=place)
    return reordered


class _Checker:
    """Runs a router over prompts in several ways."""

    def __init__(self, spec: str, limits: PluginLimits, manifest: StaticManifest, progress: Progress) -> None:
        self._spec = spec
        self._router = load_router(spec, limits)
        self._manifest = manifest
        self._candidates = manifest.candidates()
        self._progress = progress

    def seen_in(self, bank: Bank) -> Overlap:
        """Return what a trained router has seen of a bank; nothing of other routers."""
        if self._router.artefact is None:
            return Overlap("groups")
        return Recogniser(bank, WHOLE_BANK).overlap(read_seen(self._router.artefact.seen))

    def sample(self, bank: Bank, rows: int, order_seed: int) -> list[Trajectory]:
        """Return whole trajectories with at least ``rows`` rows in total, if the bank has that many."""
        taken: list[Trajectory] = []
        for trajectory in bank.trajectories(self._candidates, order_seed=order_seed):
            taken.append(trajectory)
            if sum(len(each.steps) for each in taken) >= rows:
                break
        return taken

    def run_sequentially(self, trajectories: Sequence[Trajectory], salt: str) -> _Answers:
        """Run one trajectory after the other, in a fresh process."""
        return self._run(((trajectory, step) for trajectory in trajectories for step in trajectory.steps), salt)

    def run_interleaved(self, trajectories: Sequence[Trajectory], salt: str) -> _Answers:
        """Run all sessions at the same time, one step of each in turn."""
        columns = zip_longest(*([(trajectory, step) for step in trajectory.steps] for trajectory in trajectories))
        return self._run((item for column in columns for item in column if item is not None), salt)

    def check_odd_content(self) -> CheckResult:
        """Check that the router answers valid conversations of unusual shape."""
        failed = []
        with self._router.open(self._candidates, NoRouterLlm(_NO_LLM)) as router:
            for number, what in enumerate(ODD):
                self._progress("odd content", number, len(ODD))
                session = Session(session_key("odd", what), self._candidates, StepTtl(self._manifest.cache_ttl_steps))
                choice, _ = ask_router(router, session.open_call(_odd_prompt(what)))
                if isinstance(choice, str):
                    failed.append(f"{what}: {choice}")
        advice = "Content may be a string, null or a list of blocks; docs/banks.md describes real prompts."
        if failed:
            return CheckResult("odd content", self._spec, Status.failed, "; ".join(failed), len(failed), advice)
        reason = f"{len(ODD)} unusual conversations are answered"
        return CheckResult("odd content", self._spec, Status.passed, reason, 0)

    def check_perturbation(self, trajectories: Sequence[Trajectory], names: Sequence[str]) -> CheckResult:
        """Check how often a change that means nothing for the task flips a decision."""
        steps = [step for trajectory in trajectories for step in trajectory.steps]
        flips: dict[str, list[int]] = {name: [] for name in REWRITES}
        with self._router.open(self._candidates, NoRouterLlm(_NO_LLM)) as router:
            for number, step in enumerate(steps):
                self._progress("rewriting prefixes", number, len(steps))
                original = self._decide_alone(router, f"{step.row_no}", step.prompt)
                for name, rewrite in REWRITES.items():
                    messages = [rewrite(message) for message in step.prompt.messages]
                    prompt = replace(step.prompt, messages=tuple(messages))
                    if self._decide_alone(router, f"{step.row_no} {name}", prompt) != original:
                        flips[name].append(step.row_no)
        total = sum(map(len, flips.values()))
        tried = len(steps) * len(REWRITES)
        shares = ", ".join(f"{name} {len(rows) / max(len(steps), 1):.1%}" for name, rows in flips.items())
        reason = f"{total} of {format_count(tried, 'rewrite')} flip the decision ({shares})"
        example = next((names[row_no] for rows in flips.values() for row_no in rows), None)
        share = 100 * total / max(tried, 1)
        if total * 20 <= tried:
            return CheckResult("perturbation", self._spec, Status.passed, reason, share)
        advice = "Decide by the meaning of the prompt, not by its formatting."
        return CheckResult("perturbation", self._spec, Status.warned, f"{reason}, e.g. on {example}", share, advice)

    def _decide_alone(self, router: Router, key: str, prompt: Prompt) -> str:
        session = Session(session_key("alone", key), self._candidates, StepTtl(self._manifest.cache_ttl_steps))
        call_hook(router, "start", session.key)
        choice, _ = ask_router(router, session.open_call(prompt))
        call_hook(router, "end", session.key)
        return choice.candidate.id if isinstance(choice, Choice) else f"error: {choice}"

    def _run(self, items: Iterator[tuple[Trajectory, PrefixStep]], salt: str) -> _Answers:
        answers = _Answers()
        walks: dict[tuple[str, str], TrajectoryWalk] = {}
        last_rows: dict[tuple[str, str], int] = {}
        failures_in_a_row = 0
        with self._router.open(self._candidates, NoRouterLlm(_NO_LLM)) as router:
            for trajectory, step in items:
                if failures_in_a_row == MAX_FAILURES_IN_A_ROW:
                    answers.given_up = True
                    break
                place = (trajectory.workload, trajectory.instance_id)
                if place not in walks:
                    walks[place] = TrajectoryWalk(
                        router, trajectory, self._candidates, salt=salt, ttl_steps=self._manifest.cache_ttl_steps
                    )
                last_rows[place] = step.row_no
                found = walks[place].ask(step)
                if isinstance(found.choice, Choice):
                    answers.picked[step.row_no] = found.choice.candidate.id
                    failures_in_a_row = 0
                else:
                    answers.failed[step.row_no] = found.choice
                    failures_in_a_row += 1
                answers.latencies_ms.append(found.latency_ms)
                if isinstance(router, ProcessRouter) and router.last_route_ms is not None:
                    answers.route_ms.append(router.last_route_ms)
                self._progress("asking the router", len(answers.picked) + len(answers.failed), None)
            for place, walk in walks.items():
                if (complaint := walk.end()) is not None:
                    answers.picked.pop(last_rows[place], None)
                    answers.failed.setdefault(last_rows[place], complaint)
                    break  # an end hook that hangs would hang for each session
            if isinstance(router, ProcessRouter):
                answers.mutations, answers.accesses = router.mutations, router.accesses
                answers.memory_mib = router.memory_mib()
        return answers


@cache
def _odd_prompt(what: str) -> Prompt:
    """Make one of the unusual conversations; cached, since counting the tokens of a long one takes a second."""
    return make_prompt(ODD[what])


def _answers(spec: str, answers: _Answers, calls: int, names: Sequence[str]) -> CheckResult:
    if not answers.failed:
        reason = f"{format_count(calls, 'call')}, each answered with one of its candidates"
        return CheckResult("answers", spec, Status.passed, reason, 0)
    row_no, text = next(iter(answers.failed.items()))
    reason = f"{len(answers.failed):,} of {format_count(calls, 'call')} failed, the first on {names[row_no]}: {text}"
    if answers.given_up:
        reason += f"; it was stopped after {MAX_FAILURES_IN_A_ROW} failures in a row"
    advice = "Each failure is an error row: it never passes, and fails its trajectory."
    return CheckResult("answers", spec, Status.failed, reason, len(answers.failed), advice)


def _comparison_check(
    name: str,
    spec: str,
    differing: Sequence[int],
    names: Sequence[str],
    good: str,
    advice: str,
    differs: Status = Status.failed,
) -> CheckResult:
    if not differing:
        return CheckResult(name, spec, Status.passed, good, 0)
    shown = ", ".join(names[row_no] for row_no in differing[:3])
    reason = f"{format_count(len(differing), 'row')} decided differently, e.g. {shown}"
    return CheckResult(name, spec, differs, reason, len(differing), advice)


def _check_mutation(spec: str, answers: _Answers) -> CheckResult:
    if not answers.mutations:
        return CheckResult("no mutation", spec, Status.passed, "conversations are not modified", 0)
    reason = f"{format_count(answers.mutations, 'decision')} modified the given conversation"
    advice = "Copy the messages before changing them: later calls of the session see the change."
    return CheckResult("no mutation", spec, Status.failed, reason, answers.mutations, advice)


def _check_label_blindness(spec: str, answers: _Answers) -> CheckResult:
    """Check that a router cannot see labels: a call contains none, so it could only get them from files or sockets."""
    if not answers.accesses:
        reason = "decisions use no file, socket or command"
        return CheckResult("label-blind", spec, Status.passed, reason, 0)
    data = [each for each in answers.accesses if any(ending in each for ending in _DATA_FILES)]
    shown = ", ".join(dict.fromkeys(data or answers.accesses[:3]))
    if data:
        advice = "A router must not read banks or results: labels are in them."
        return CheckResult("label-blind", spec, Status.failed, f"decisions open data files: {shown}", len(data), advice)
    advice = "Load what you need in the constructor; strict isolation refuses sockets and all files but your own."
    reason = f"decisions use files, sockets or commands: {shown}"
    return CheckResult("label-blind", spec, Status.warned, reason, len(answers.accesses), advice)


def _not_scored(spec: str, seen: Overlap) -> CheckResult:
    reason = f"not scored, since it was trained on the bank ({seen})"
    return CheckResult("without reading", spec, Status.passed, reason)


def _check_leaks(spec: str, bank: Bank, answers: _Answers, progress: Progress) -> CheckResult:
    """Check how much of the router's score could be reached without reading the conversation."""
    picked: dict[int, int | None] = {row_no: int(Tier.from_label(tier)) for row_no, tier in answers.picked.items()}
    found = score_leaks(bank, dict.fromkeys(answers.failed) | picked, progress)
    if found.check is None:
        return CheckResult("without reading", spec, Status.passed, found.detail)
    advice = f"The bank leaks labels, so scores on it mean less: twinbench bank check {bank.info.name}"
    share = None if found.share is None else 100 * found.share
    return CheckResult("without reading", spec, Status.warned, found.detail, share, advice)


def _first_decision(spec: str, answers: _Answers) -> CheckResult:
    """Whether the first decision waits for something that could have been loaded before."""
    first, *others = answers.latencies_ms
    usual = median(others or [first])
    reason = f"the first decision of its process took {first:,.0f} ms, one of the others {usual:,.0f} ms (median)"
    if first <= SLOW_FIRST_MS or first <= TIMES_SLOWER * usual:
        return CheckResult("first decision", spec, Status.passed, reason, first)
    advice = (
        "Load what takes long in warm_up() or in the constructor: that counts as loading (--load-timeout), not as a "
        "decision (--decision-timeout)."
    )
    return CheckResult("first decision", spec, Status.warned, reason, first, advice)


def _latency(spec: str, answers: _Answers) -> CheckResult:
    if len(answers.latencies_ms) < 2:
        return CheckResult("latency", spec, Status.passed, "too few decisions to measure")
    cuts = quantiles(answers.latencies_ms, n=100, method="inclusive")
    shown = {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "slowest": max(answers.latencies_ms)}
    reason = ", ".join(f"{name} {value:.2f} ms" for name, value in shown.items())
    if answers.route_ms:
        reason += f"; route itself took {median(answers.route_ms):.2f} ms of p50, by its process's own clock"
    if cuts[94] <= SLOW_P95_MS:
        return CheckResult("latency", spec, Status.passed, reason, cuts[94])
    return CheckResult("latency", spec, Status.warned, reason, cuts[94], "Every call of an agent waits for the router.")


def _loads(spec: str, answers: _Answers) -> CheckResult:
    if answers.memory_mib is None:
        reason = "an endpoint; what its server modifies and accesses cannot be seen from here"
        return CheckResult("loads", spec, Status.passed, reason)
    reason = f"in a process of its own, {answers.memory_mib:.0f} MiB"
    return CheckResult("loads", spec, Status.passed, reason, answers.memory_mib)


_DATA_FILES = (".duckdb", ".jsonl", ".parquet")

"""Live runs as tests drive them: scripts that solve tasks, the command line, what a run left, killed processes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from dynamic_track.rehearsal.replies import MessageReply, Reply, UsageFormat, bash_call
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.tasks.task import Task
from tests.cli.commands import Ran, twinbench
from tests.plugins.hosting import session_environment
from tests.timing import until as until
from twinbench.calls.journal import JOURNAL_FILE, read_journal
from twinbench.containers.labels import NAMESPACE_VARIABLE, container_namespace

ROOT = Path(__file__).resolve().parents[2]

LOW = "deepseek/deepseek-v3.2"
MID = "minimax/minimax-m2.7"
MID_HIGH = "google/gemini-3-flash-preview"
HIGH = "anthropic/claude-opus-4.6"
POOL = (LOW, MID, MID_HIGH, HIGH)
PENALTY = Decimal("0.6")
EASY = "rehearsal__slotbook-17"
SIX = tuple(
    f"rehearsal__{name}"
    for name in ("buildorder-72", "pennyledger-58", "plainconf-23", "sievequery-93", "slotbook-17", "tidecache-41")
)
"""Two of each difficulty; the suite runs these end to end, and ``make acceptance`` all."""

KEY = "sk-live-0123456789-must-never-show"
KEY_VARIABLE = "TWINBENCH_TEST_LIVE_KEY"

SENTINEL = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
SUBMIT = f"git add -A && git diff --cached > /tmp/p && echo {SENTINEL} && cat /tmp/p"

ROUTERS = '''
class Turns:
    """The candidates one after the other, from the first or another one."""
    def __init__(self, first: int = 0):
        self.first = first
    def route(self, call):
        return call.candidates[(call.step_index - 1 + self.first) % len(call.candidates)]


class Fixed:
    def __init__(self, model: str):
        self.model = model
    def route(self, call):
        return self.model


class Warm:
    """The dearest one as long as its cache is warm, else the cheapest; the first call goes to the dearest."""
    def route(self, call):
        dearest = call.candidates[-1]
        return dearest if call.step_index == 1 or call.cache[dearest].read_tokens else call.candidates[0]


class Odd:
    """Fails in one way, at one step."""
    def __init__(self, how: str, at: int = 1):
        self.how, self.at, self.seen = how, at, 0
    def start(self, session):
        if self.how == "start":
            raise ValueError("no start")
    def observe(self, outcome):
        if self.how == "observe" and outcome.step_index == self.at:
            raise ValueError("no observe")
    def route(self, call):
        if call.step_index == self.at:
            if self.how == "raises":
                raise ValueError("no route")
            if self.how == "hangs":
                import time
                time.sleep(60)
            if self.how == "unknown":
                return "gpt-17"
            if self.how == "none":
                return None
            if self.how == "dies":
                import os
                os._exit(3)
        return call.candidates[0]
'''


def heredoc(patch: str) -> str:
    """A command that applies a patch."""
    return f"git apply - <<'END_OF_PATCH'\n{patch}\nEND_OF_PATCH"


def named(tasks: Sequence[Task], name: str) -> Task:
    """One of the tasks."""
    return next(task for task in tasks if task.id == name)


def gold(task: Task) -> list[str]:
    """Commands that look around, apply the gold patch and submit."""
    return ["ls", heredoc(task.gold_patch), SUBMIT]


def said(command: str | Sequence[str], *, text: bool = False, **more: Any) -> MessageReply:
    """An answer with commands, in either style."""
    commands = [command] if isinstance(command, str) else command
    if text:
        return MessageReply("So:\n" + "\n".join(f"```mswea_bash_command\n{each}\n```" for each in commands), **more)
    return MessageReply("So:", calls=[bash_call(each) for each in commands], **{"usage": UsageFormat.own, **more})


def step_of(asked: ReceivedRequest) -> int:
    """Which call of the trial it is, from 1, by what the conversation holds: a repeated request has the same."""
    messages = asked.body["messages"]
    observed = [each for each in messages if each["role"] in ("user", "tool")][1:]
    spoken = [each for each in messages if each["role"] == "assistant"]
    if not spoken:
        return len(observed) + 1  # nothing but format errors
    results = sum(each["role"] == "tool" for each in messages)
    errors = len(observed) - (results or len(spoken))
    return len(spoken) + max(errors, 0) + 1


def by_step(replies: Sequence[Reply | Callable[[ReceivedRequest], Reply]]) -> Callable[[ReceivedRequest], Reply]:
    """A script that answers by the step, so that a request that comes twice gets the same answer twice."""

    def answer(asked: ReceivedRequest) -> Reply:
        reply = replies[step_of(asked) - 1]
        return reply(asked) if callable(reply) else reply

    return answer


def solving(tasks: Sequence[Task], *, text: bool = False) -> Callable[[ReceivedRequest], Reply]:
    """A script that solves every task with its gold patch."""

    def answer(asked: ReceivedRequest) -> Reply:
        prompt = json.dumps(asked.body["messages"][1])
        task = next(task for task in tasks if json.dumps(task.problem_statement.strip()[:200])[1:-1] in prompt)
        return said(gold(task)[step_of(asked) - 1], text=text)

    return answer


def run_arguments(
    api_base: str, run: Path, *more: str, router: str = "always-high", only: str = EASY, usd: str | None = "20"
) -> list[str]:
    """``dynamic run`` of one task and more arguments."""
    cap = [] if usd is None else ["--run-usd", usd]
    only_arguments = ["--only", only] if only else []
    return [
        *("dynamic", "run", router, "--tasks", "rehearsal", *only_arguments, "--run", str(run)),
        *("--api-base", api_base, "--api-key-env", KEY_VARIABLE, *cap, "--json", *more),
    ]


def with_testbed(archive: bytes) -> bytes:
    """A file system in which agents have their directory."""
    written = io.BytesIO(archive)
    with tarfile.open(fileobj=written, mode="a") as tar:
        member = tarfile.TarInfo("testbed")
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
    return written.getvalue()


def live(
    api_base: str, run: Path, *more: str, router: str = "always-high", only: str = EASY, usd: str | None = "20"
) -> Ran:
    """Run it in this process."""
    return twinbench(*run_arguments(api_base, run, *more, router=router, only=only, usd=usd))


def replayed(run: Path, *more: str) -> Ran:
    """``dynamic replay`` in this process."""
    return twinbench("dynamic", "replay", str(run), "--json", *more)


@dataclass(frozen=True)
class Done:
    """What a run left of one trial."""

    run: Path
    task: str = EASY
    trial: int = 1

    @property
    def folder(self) -> Path:
        """Of the trial."""
        return self.run / "cases" / self.task / str(self.trial)

    @property
    def case(self) -> dict[str, Any]:
        """``case.json``, its money exact to the digits that JSON has."""
        content: dict[str, Any] = json.loads((self.folder / "case.json").read_text("utf-8"), parse_float=Decimal)
        return content

    def lines(self, *kinds: str) -> list[tuple[str, Mapping[str, Any]]]:
        """Kind and fields of the journal's lines about this trial."""
        return [
            (entry.kind, entry.fields)
            for entry in read_journal(self.run / "journal")
            if entry.fields.get("case") == self.task and (not kinds or entry.kind in kinds)
        ]

    def fields(self, kind: str) -> list[Mapping[str, Any]]:
        """The fields of its lines of one kind."""
        return [fields for _, fields in self.lines(kind)]

    @property
    def spend_usd(self) -> Decimal:
        """What all its settles say; each has its reserve before it, in order."""
        in_flight: tuple[int, int] | None = None
        spend = Decimal(0)
        for kind, fields in self.lines("reserve", "settle"):
            name = (fields["step"], fields["attempt"])
            if kind == "reserve":
                assert in_flight is None, f"{name} is reserved while {in_flight} is in flight"
                in_flight = name
            else:
                assert name == in_flight
                in_flight = None
                spend += Decimal(fields["cost_usd"])
        assert in_flight is None
        return spend

    @property
    def at_reservation(self) -> list[Decimal]:
        """What attempts count at their reservation."""
        return [Decimal(each["cost_usd"]) for each in self.fields("settle") if each["at_reservation"]]


def nearly(amount: Any) -> Decimal:
    """An amount as JSON numbers can say it."""
    return Decimal(str(float(amount)))


def rewritten(run: Path, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Change the journal of a run, and make its chain whole again: lines for which ``change`` gives None go.

    Args:
        run: its directory.
        change: gets a line's ``kind`` and ``fields``.
    """
    path = run / "journal" / JOURNAL_FILE
    prev, number, lines = "0" * 64, 0, []
    for line in path.read_text("utf-8").splitlines():
        record = json.loads(line)
        changed = change({"kind": record["kind"], "fields": record["fields"]})
        if changed is None:
            continue
        number += 1
        body = json.dumps({**changed, "number": number, "prev": prev}, sort_keys=True, separators=(",", ":"))
        prev = hashlib.sha256(body.encode()).hexdigest()
        lines.append(f'{body[:-1]},"sha256":"{prev}"}}\n')
    path.write_text("".join(lines), "utf-8")


def pool_file(path: Path, change: Callable[[str], str], name: str = "live-2026-04") -> Path:
    """A copy of a shipped pool with something else in its text."""
    text = (ROOT / "pools" / f"{name}.toml").read_text("utf-8")
    changed = change(text)
    assert changed != text
    path.write_text(changed, "utf-8")
    return path


class Victims:
    """Starts command lines that end by a signal; forked from a process that has loaded everything, so that it is quick.

    Use ``victims()``.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._running: int | None = None

    def start(
        self,
        arguments: Sequence[str],
        kill: tuple[str, str, int] | None = None,
        by: int = signal.SIGKILL,
        *,
        written_to: Path | None = None,
        ignores: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Start one, and give its process id.

        Args:
            arguments: of the command line.
            kill: where it ends itself: ``before`` or ``after`` what is written of a kind, for the how manieth time.
            by: the signal that it sends itself there.
            written_to: a folder for what it prints, in the files ``out`` and ``err``.
            ignores: signals that it ignores from the start.
            environment: further variables.
        """
        assert self._process.stdin is not None
        order = {
            "arguments": list(arguments),
            "kill": kill,
            "by": int(by),
            "namespace": container_namespace(),
            "written_to": None if written_to is None else str(written_to),
            "ignores": [int(number) for number in ignores],
            "environment": dict(environment or {}),
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        self._running = int(self._line())
        return self._running

    def ended(self) -> int:
        """Wait for the one that was started; minus its signal, or its exit code."""
        code = int(self._line())
        self._running = None
        return code

    def end(self) -> None:
        """End the one that still runs because a test failed before it was waited for."""
        if self._running is not None:
            os.kill(self._running, signal.SIGKILL)
            self.ended()

    def killed(self, arguments: Sequence[str], kill: tuple[str, str, int]) -> None:
        """Start one that ends itself, and wait for that."""
        self.start(arguments, kill)
        assert self.ended() == -signal.SIGKILL

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the process that starts them ended with {self._process.wait()}"
        return line


@contextmanager
def victims() -> Iterator[Victims]:
    """What starts processes to be killed."""
    command = [sys.executable, "-m", "tests.dynamic_track.live"]
    environment = session_environment(**{KEY_VARIABLE: KEY})
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Victims(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def _serve_victims() -> None:
    _load_all()
    for line in sys.stdin:
        asked = json.loads(line)
        if (child := os.fork()) == 0:
            os.environ |= {NAMESPACE_VARIABLE: asked["namespace"], **asked["environment"]}
            for number in asked["ignores"]:
                signal.signal(number, signal.SIG_IGN)
            _print_to(asked["written_to"])
            _be_victim(asked["arguments"], asked["kill"], asked["by"])
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _load_all() -> None:
    """What a run loads when it first needs it, tokenizers and tasks among it; nobody is asked."""
    from contextlib import suppress

    from dynamic_track import harness
    from dynamic_track.running import runner  # noqa: F401
    from dynamic_track.running.agent import ActionFormat, agent_settings
    from dynamic_track.tasks.sources import load_tasks
    from twinbench.calls.exchange import Request, TransportError
    from twinbench.calls.prompts import PromptCounter
    from twinbench.cli.dynamic import replaying as command  # noqa: F401
    from twinbench.containers.engine import Engine
    from twinbench.providers.gateway import Gateway
    from twinbench.storage.manifest_files import live_manifest, static_manifest
    from twinbench.text.tokens import find_tokenizer_set

    harness.version()
    pool = live_manifest()
    agent_settings(ActionFormat.tool, pool.agent)
    for task in load_tasks("rehearsal").tasks:
        harness.eval_script(task)
    message = {"role": "user", "content": "hi"}
    PromptCounter(pool.candidates, find_tokenizer_set(static_manifest())).make_prompt([message], (), 1)
    with Engine.connect(), Gateway("http://127.0.0.1:9/v1", None) as gateway, suppress(TransportError):
        gateway.fetch(Request({"model": LOW, "messages": [message]}, "nobody"), 5)


def _print_to(folder: str | None) -> None:
    if folder is None:
        os.dup2(2, 1)
        return
    for descriptor, name in ((1, "out"), (2, "err")):
        with (Path(folder) / name).open("wb") as file:
            os.dup2(file.fileno(), descriptor)


def _be_victim(arguments: Sequence[str], kill: tuple[str, str, int] | None, by: int) -> None:
    from twinbench.calls.journal import Journal
    from twinbench.cli import run_in_process
    from twinbench.cli.signals import received_exit_code

    def strike() -> None:
        os.kill(os.getpid(), by)
        until(lambda: received_exit_code() is not None)  # the main thread has to take it

    if kill is not None:
        when, wanted, number = kill
        append = Journal.append
        seen = 0

        def appended(journal: Journal, kind: str, /, **fields: Any) -> int:
            nonlocal seen
            seen += kind == wanted
            if kind == wanted and seen == number and when == "before":
                strike()
            line = append(journal, kind, **fields)
            if kind == wanted and seen == number:
                strike()
            return line

        Journal.append = appended  # type: ignore[method-assign]
    sys.argv = ["twinbench", *arguments]
    code = run_in_process()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve_victims()

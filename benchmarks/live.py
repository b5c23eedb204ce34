"""What the harness adds to a step of a live case: router, journal with fsync, sandbox; the model's time is left out."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.measuring import Measurement, seconds
from dynamic_track.running.agent import ActionFormat, agent_settings
from dynamic_track.running.trial import TrialContext, run_trial_agent
from dynamic_track.tasks.images import prepare_images
from dynamic_track.tasks.sources import load_tasks
from tests.scripted.process import server_process
from twinbench.calls.budget import Budget
from twinbench.calls.journal import Journal
from twinbench.calls.recording import Recording
from twinbench.calls.routed import RouterDecider
from twinbench.calls.trial_log import TrialLog
from twinbench.containers.engine import Engine, NoEngineError
from twinbench.providers.gateway import Gateway
from twinbench.routers.registry import BUILT_IN
from twinbench.storage.manifest_files import live_manifest

_STEPS = 40
_SCRIPT = f"""
from dynamic_track.rehearsal.replies import MessageReply, bash_call

COMMANDS = ["ls -la", "git status --short", "grep -rn def . | head -20", "cat README.md"]
SCRIPT = [MessageReply("Next.", calls=[bash_call(COMMANDS[number % 4])]) for number in range({_STEPS})]
SCRIPT.append(MessageReply("Done.", calls=[bash_call("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT")]))
"""


def measurements() -> Iterator[Measurement]:
    """A step of twinbench against a step of mini-swe-agent alone, same server and commands."""
    try:
        engine = Engine.connect()
    except NoEngineError as error:
        print(f"skipped: {error}", file=sys.stderr)
        return
    with engine, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = folder / "script.py"
        script.write_text(_SCRIPT, "utf-8")
        [task, *_] = load_tasks("rehearsal").tasks
        prepare_images(engine, [task], build_them=True)
        ours, theirs = [], []
        for number in range(3):  # the first one loads what both need
            with server_process(script) as server:
                theirs.append(_mini_swe_agent_s(server.api_base, task.image, task.problem_statement))
            with server_process(script) as server:
                ours.append(_twinbench_s(engine, task, server.api_base, folder / f"journal-{number}"))
        yield Measurement(
            "a step of a live case: router, journal, sandbox",
            f"{seconds(min(ours))} of {_STEPS + 1} steps",
            f"mini-swe-agent's DefaultAgent on its DockerEnvironment, {seconds(min(theirs))}",
            min(ours) / min(theirs),
            0.5,
        )


def _twinbench_s(engine: Engine, task: Any, api_base: str, journal_folder: Path) -> float:
    """Seconds a step, without the provider's."""
    pool = live_manifest()
    with Journal.open(journal_folder) as journal, Gateway(api_base, None) as gateway:
        bench = TrialContext(
            pool=pool,
            settings=agent_settings(ActionFormat.tool, pool.agent),
            decider=RouterDecider(BUILT_IN["round-robin"]()),
            source=gateway,
            budget=Budget(Decimal(100)),
            salt="bench",
        )
        log = TrialLog(Recording(task.id, 1), journal)
        started = time.perf_counter()
        assert run_trial_agent(bench, engine, task, log).exit_status == "Submitted"
        took = time.perf_counter() - started
    answers = log.recording.answers
    waited: float = sum(answer.settle.latency_s or 0 for answer in answers if answer.settle is not None)
    return (took - waited) / len(answers)


def _mini_swe_agent_s(api_base: str, image: str, problem: str) -> float:
    """Seconds a step, without the provider's."""
    os.environ.setdefault("MSWEA_SILENT_STARTUP", "1")
    os.environ.setdefault("MSWEA_GLOBAL_CONFIG_DIR", tempfile.gettempdir())
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm
    from minisweagent.agents.default import DefaultAgent
    from minisweagent.environments.docker import DockerEnvironment
    from minisweagent.models.litellm_model import LitellmModel

    litellm.suppress_debug_info = True
    logging.getLogger("minisweagent").handlers.clear()
    settings = agent_settings(ActionFormat.tool, live_manifest().agent)
    waited = 0.0

    class Timed(LitellmModel):
        def _query(self, messages: list[dict[str, str]], **kwargs: Any) -> Any:
            nonlocal waited
            started = time.perf_counter()
            try:
                return super()._query(messages, **kwargs)
            finally:
                waited += time.perf_counter() - started

    model = Timed(
        model_name="openai/bench",
        model_kwargs={"api_base": api_base, "api_key": "none", "drop_params": True},
        cost_tracking="ignore_errors",
        observation_template=settings.model["observation_template"],
        format_error_template=settings.model["format_error_template"],
    )
    environment: Any = DockerEnvironment(
        image=image, cwd=settings.directory, timeout=60, interpreter=["bash", "-c"], env=dict(settings.environment)
    )
    try:
        agent = DefaultAgent(model, environment, **settings.agent)
        started = time.perf_counter()
        assert agent.run(problem)["exit_status"] == "Submitted"
        return (time.perf_counter() - started - waited) / (_STEPS + 1)
    finally:
        environment.cleanup()

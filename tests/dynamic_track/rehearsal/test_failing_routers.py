"""What people see of a router that fails in a rehearsal or a live run, and of a rehearsal that is stopped."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from dynamic_track.rehearsal.provider import SimulatedModels, simulated_provider
from dynamic_track.rehearsal.simulation import known_tasks
from dynamic_track.running.origin import Origin
from dynamic_track.tasks.sources import load_tasks
from tests.cli.commands import twinbench
from tests.dynamic_track.live import KEY_VARIABLE, Victims, live, pool_file
from tests.dynamic_track.rehearsal.playing import EASY
from tests.timing import HANG_S, until, wall_s
from twinbench.storage.manifest_files import live_manifest

pytestmark = pytest.mark.usefixtures("rehearsal")

ROUTERS = """
class Raises:
    def route(self, call):
        raise KeyError("difficulty")


class Third:
    def route(self, call):
        if call.step_index >= 3:
            raise ValueError("no table\\nfor step 3")
        return "mid"


class Later:
    async def route(self, call):
        return "low"


class Slow:
    def route(self, call):
        import time
        time.sleep(1)
        return "low"
"""


@pytest.fixture
def routers(tmp_path: Path) -> Mapping[str, str]:
    """Specs of routers that fail, by what they do."""
    file, broken = tmp_path / "mine.py", tmp_path / "broken.py"
    file.write_text(ROUTERS, "utf-8")
    broken.write_text("import no_such_module\n", "utf-8")
    return {**{name: f"{file}:{name}" for name in ("Raises", "Third", "Slow", "Later")}, "Broken": f"{broken}:Broken"}


def test_routers_that_fail_stand_below_the_table_and_the_exit_code_says_so(
    tmp_path: Path, routers: Mapping[str, str]
) -> None:
    raises, third, broken, later = (routers[name] for name in ("Raises", "Third", "Broken", "Later"))
    short = pool_file(tmp_path / "short.toml", lambda text: text.replace("step_limit = 250", "step_limit = 3"))
    runs = tmp_path / "runs"
    words = ("rehearse", "always-low", raises, third, broken, later, "--only", EASY, "--runs", runs, "--pool", short)
    ran = twinbench(*words)
    assert ran.code == 1, ran.err
    table, below = ran.text[: ran.text.index("└")], ran.text[ran.text.index("└") :]
    assert "Router failures" in table
    assert [name in table for name in ("always-low", "Raises", "Third", "Broken")] == [True, False, False, False]
    failed = "failed in every case; its bill is"
    assert f"{raises}: {failed} 0.6000 USD" in below
    assert f"{EASY}, step 1: route raised KeyError: 'difficulty'" in below
    assert f"{third}: {failed}" in below
    assert "step 3: route raised ValueError: no table for step 3" in below, "on one line"
    assert "broken.py" in below
    assert "the method route of Later is async def" in " ".join(below.split()), "what is no router ends no rehearsal"
    assert "No module named 'no_such_module'" in below
    assert "always-low: the agent ended without submitting in 1 case: 1 by LimitsExceeded" in below
    assert (ran.text + ran.err).count("'difficulty'") == 1, "it is said once"

    again = twinbench(*words, "--json")
    assert again.code == 1
    assert again.err.count("error: ") == 4
    by_router = {each["router"]: each for each in again.json["routers"]}
    assert by_router["always-low"]["rank"] == [1, 1], "it is alone in tests"
    assert by_router["always-low"]["agent_ends"] == {"LimitsExceeded": 1}
    assert (by_router[raises]["rank"], by_router[raises]["router_errors"]) == (None, 1)
    assert by_router[broken]["router_failure"] == "could not be loaded"
    of_runs = {each["router"]: each for each in again.json["runs"]}
    [trial] = of_runs[third]["trials"]
    assert (trial["cause"], trial["counts"], trial["router_errors"]) == ("router", "unresolved", 1)
    assert trial["detail"].startswith("step 3: route raised ValueError")
    assert [each["exit_status"] for each in of_runs["always-low"]["trials"]] == ["LimitsExceeded"]

    run, other = of_runs[third]["run"], of_runs["always-low"]["run"]
    status = twinbench("dynamic", "status", run)
    assert status.code == 1
    assert f"{third}: failed in every case; 1 router failure: {EASY}, step 3" in status.text
    [state] = twinbench("dynamic", "status", other, "--json").succeeded().json["trials"]
    assert (state["exit_status"], state["cause"], state["router_errors"]) == ("LimitsExceeded", "empty", 0)
    assert "LimitsExceeded" in twinbench("dynamic", "status", other).text

    store = ("--store", tmp_path / "store")
    score = twinbench("dynamic", "score", other, run, *store)
    assert score.code == 1
    assert third not in score.text[: score.text.index("└")]
    assert f"{third}: failed in every case; its bill is" in score.text
    assert twinbench("dynamic", "score", other, *store).code == 0
    scored = twinbench("dynamic", "score", other, run, "--json", *store).json
    assert [each["rank"] for each in scored["runs"]] == [[1, 2], None]
    assert run not in scored["penalties"][0]["bills"]
    alone = twinbench("dynamic", "score", run, *store)
    assert (alone.code, "give up (computed)" in alone.text) == (1, True)
    assert twinbench("dynamic", "compare", other, run).code == 1

    unloaded = of_runs[broken]["run"]
    for command in (("status",), ("score", other)):
        told = twinbench("dynamic", *command, unloaded, *(store if command[0] == "score" else ()))
        assert told.code == 1
        assert "No module named 'no_such_module' (broken.py, line 1); no case was run" in " ".join(told.text.split())
    beside = twinbench("dynamic", "score", other, unloaded, "--json", *store).json
    assert [each["rank"] for each in beside["runs"]] == [[1, 2], None], "as without it"
    page = tmp_path / "page.html"
    twinbench("dynamic", "report", other, unloaded, "-o", page).succeeded()
    assert "do not have verdicts on the same cases" not in page.read_text("utf-8")


@pytest.mark.acceptance
def test_a_run_against_the_server_says_that_its_models_are_simulated(
    tmp_path: Path, routers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "k" * 20)
    pool, tasks = live_manifest(), load_tasks("rehearsal").tasks
    run = tmp_path / "run"
    with simulated_provider(SimulatedModels(known_tasks(tasks), pool), pool) as server:
        ran = live(server.api_base, run, "--on-router-error", "low", router=routers["Third"])
    assert (ran.code, ran.json["simulated"], ran.json["router_failure"]) == (0, True, None), ran.err
    [trial] = ran.json["trials"]
    assert trial["router_errors"] > 1
    assert trial["first_router_error"].startswith("step 3: route raised ValueError")
    told = Origin.simulated.heading
    assert " ".join(twinbench("dynamic", "status", run).succeeded().text.split()).startswith(told)
    store = ("--store", tmp_path / "store")
    score = " ".join(twinbench("dynamic", "score", run, *store).succeeded().text.split())
    assert score.startswith(told)
    assert "router failures, the first: " in score
    page = tmp_path / "page.html"
    twinbench("dynamic", "report", run, "-o", page).succeeded()
    assert f"{told}." in page.read_text("utf-8")
    assert "says that it is simulated, the plan does not" in twinbench("dynamic", "audit", run, "--json").text

    trajectory = json.loads((run / "cases" / EASY / "1" / "trajectory.json").read_text("utf-8"))
    assert "not real ones" in trajectory["info"]["simulated"]
    words = ("bank", "import", run, "--name", "mine", "--format", "mini-swe-agent", *store)
    assert "The bank contains runs in which simulated models answered" in twinbench(*words).succeeded().text
    [bank] = [each for each in twinbench("bank", "list", "--json", *store).json["banks"] if each["name"] == "mine"]
    assert "The bank contains runs in which simulated models answered" in bank["caveat"]
    predicted = twinbench("static", "predict", "always-low", "--bank", "mine", *store).succeeded()
    assert "The bank contains runs in which simulated models answered" in predicted.err
    rows = tmp_path / "rows.jsonl"
    twinbench("bank", "export", "mine", "-o", rows, *store).succeeded()
    labelled = rows.read_text("utf-8").replace(
        '"step_index"', '"target_tier": "low", "target_tier_id": 0, "step_index"'
    )
    rows.write_text(labelled, "utf-8")
    twinbench("bank", "import", rows, "--name", "labelled", *store).succeeded()
    shown = twinbench("static", "score", "always-low", "--bank", "labelled", *store).succeeded().text
    assert "The bank contains runs in which simulated models answered" in shown, (
        "also where the bank was written out, labelled and imported again"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_a_rehearsal_soon_and_says_how_to_go_on(
    number: signal.Signals, tmp_path: Path, routers: Mapping[str, str], killing: Victims
) -> None:
    runs = tmp_path / "runs"
    command = ["rehearse", routers["Slow"], "always-low", "--only", EASY, "--seeds", "9", "--runs", str(runs)]
    process = killing.start(command, written_to=tmp_path)
    until(lambda: any(runs.glob("*/*/journal")), HANG_S)
    os.kill(process, number)
    codes: list[int] = []
    took_s = wall_s(lambda: codes.append(killing.ended()))
    shown, err = ((tmp_path / name).read_text("utf-8") for name in ("out", "err"))
    assert codes == [128 + number]
    assert f"everything is in {runs}; the same command with --runs {runs} continues" in err
    assert "of 18 cases" in err
    assert "Traceback" not in err
    assert took_s < 30, "no run is begun any more"
    assert len(list(runs.glob("*/*/journal"))) < 6
    assert "9 seeds" in shown

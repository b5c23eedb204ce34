"""``twinbench demo``: score built-in routers on the embedded bank; no API key, no spend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinbench.cli import INTERRUPTED
from twinbench.cli.options import JsonOption, StoreOption
from twinbench.cli.output import print_json, print_table, progress
from twinbench.cli.signals import received_exit_code
from twinbench.display.wording import format_count
from twinbench.errors import TwinbenchError

if TYPE_CHECKING:
    from dynamic_track.rehearsal.standings import RehearsalResult

ROUTERS = ("depth-rule", "sticky?at_least=mid", "round-robin")
REHEARSAL_ROUTERS = ("always-low", "always-high", "depth-rule?mid=8&high=9")
REHEARSAL_CASES = (
    "rehearsal__slotbook-17",
    "rehearsal__verspan-36",
    "rehearsal__tidecache-41",
    "rehearsal__gatelist-31",
)


def demo(
    *,
    rehearse: Annotated[
        bool,
        typer.Option("--rehearse", help="Also rehearse a few live cases with simulated models; needs a Docker engine."),
    ] = False,
    json_: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Score the built-in routers on the embedded bank: offline, no key, no spend."""
    from static_track.banks.opening import open_bank
    from static_track.evaluator import Evaluator
    from twinbench.cli.dynamic.rehearsal_table import rehearsal_table
    from twinbench.cli.static.tables import board_table
    from twinbench.statistics import Resampling
    from twinbench.storage.store import Store

    with progress() as shown, open_bank(None, Store(store), shown) as bank:
        board = Evaluator(bank, progress=shown).board(ROUTERS, resampling=Resampling())
    if not json_:
        print_table(board_table(board))
        typer.echo("")
    rehearsed = _try_rehearsal() if rehearse else None
    if received_exit_code() is not None:  # the rehearsal was stopped by a signal
        raise typer.Exit(INTERRUPTED)
    if json_:
        content: dict[str, Any] = board.to_json()
        if isinstance(rehearsed, str):
            content["rehearsal"] = {"skipped": rehearsed}
        elif rehearsed is not None:
            content["rehearsal"] = rehearsed.to_json()
        print_json(content)
        return
    live, spent = "", "Nothing was downloaded or spent."
    if isinstance(rehearsed, str):
        typer.echo(f"{rehearsed}\n")
    elif rehearsed is not None:
        print_table(rehearsal_table(rehearsed))
        typer.echo("")
        spent = "Nothing was spent, and no model was called."
        live = (
            f", and {len(REHEARSAL_ROUTERS)} routers through {len(REHEARSAL_CASES)} live cases each, with simulated "
            "models"
        )
    typer.echo(
        f"Ran: {len(ROUTERS)} routers and {len(board.entries) - len(ROUTERS)} references over {board.rows:,} calls of "
        f"{format_count(board.trajectories, 'agent trajectory', 'agent trajectories')}{live}. {spent}\n"
        "Try next:\n"
        "  twinbench static score path/to/my_router.py:Mine          your own router on the same bank\n"
        "  twinbench bank import question_bank.jsonl --name mine     a bank of your own\n"
        "  twinbench static score depth-rule --bank mine --json      everything about a score\n"
        "  twinbench rehearse path/to/my_router.py:Mine              your own router through the live track"
    )


def _try_rehearsal() -> RehearsalResult | str:
    """Rehearse a few cases; return the result, or a text that says why that was not possible."""
    try:
        return _rehearse()
    except TwinbenchError as error:
        reason = str(error).splitlines()[0]
        return (
            f"No rehearsal was possible ({reason}). With a Docker engine and twinbench[dynamic], "
            f"{len(REHEARSAL_ROUTERS)} routers solve {len(REHEARSAL_CASES)} small tasks in containers with simulated "
            "models, for a table of costs and bills."
        )


def _rehearse() -> RehearsalResult:
    from dynamic_track.rehearsal.preparing import new_rehearsal_folder, prepare_rehearsal
    from dynamic_track.tasks.selection import TaskChoice
    from twinbench.cli.dynamic.rehearse import rehearse_with_progress
    from twinbench.plugins.loading import load_router
    from twinbench.statistics import Resampling

    rehearsal = prepare_rehearsal(TaskChoice(only=REHEARSAL_CASES))
    routers = [load_router(router) for router in REHEARSAL_ROUTERS]
    return rehearse_with_progress(rehearsal, routers, new_rehearsal_folder(), resampling=Resampling())

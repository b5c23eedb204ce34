"""``twinbench demo``: the main job, on the embedded bank, offline."""

from __future__ import annotations

import typer

from twinbench.cli.options import JsonOption, StoreOption
from twinbench.cli.output import print_json, print_table, progress

ROUTERS = ("depth-rule", "sticky?at_least=mid", "round-robin")


def demo(*, json_: JsonOption = False, store: StoreOption = None) -> None:
    """Score the built-in routers on the embedded bank: offline, no key, no spend."""
    from static_track.board import Judge
    from static_track.starter import open_bank
    from twinbench.cli.static import board_table
    from twinbench.store import Store

    with progress() as shown, open_bank(None, Store(store), shown) as bank:
        board = Judge(bank, progress=shown).board(ROUTERS)
    if json_:
        print_json(board.to_json())
        return
    print_table(board_table(board))
    typer.echo(
        f"\nRan: {len(ROUTERS)} routers and {len(board.entries) - len(ROUTERS)} references over {board.rows} calls of "
        f"{board.trajectories} agent trajectories. Nothing was downloaded or spent.\n"
        "Try next:\n"
        "  twinbench static score path/to/my_router.py:Mine          your own router on the same bank\n"
        "  twinbench bank import question_bank.jsonl --name mine     a bank of your own\n"
        "  twinbench static score depth-rule --bank mine --json      everything about a score"
    )

"""The gateway of the documentation's examples: a scripted server that plays a model which knows what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

_NEEDS = "<!-- needs: docker, gateway -->"
_KEY = "a-key-of-yours"
_TASK = Path(__file__).resolve().parents[1] / "dynamic_track" / "rehearsal" / "tasks" / "rehearsal__slotbook-17"


@contextmanager
def gateway_for(markdown: str) -> Iterator[None]:
    """While the block runs, a gateway at ``$GATEWAY`` that takes the key ``$GATEWAY_KEY``, where a page needs one."""
    if not markdown.startswith(_NEEDS):
        yield
        return
    from dynamic_track.rehearsal.replies import MessageReply, bash_call
    from tests.scripted.server import ScriptedServer

    gold = (_TASK / "gold.patch").read_text("utf-8")
    script = [
        MessageReply("Let me look around.", calls=[bash_call("ls; cat slotbook/interval.py | head -60")]),
        MessageReply("The end is wrong.", calls=[bash_call(f"git apply - <<'END'\n{gold}END\ngit diff --stat")]),
        MessageReply("Now the patch.", calls=[bash_call("git diff -- slotbook > patch.txt; head -2 patch.txt")]),
        MessageReply("Done.", calls=[bash_call("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && cat patch.txt")]),
    ]
    with (
        ScriptedServer(script, api_key=_KEY) as server,
        patch.dict(os.environ, {"GATEWAY": server.api_base, "GATEWAY_KEY": _KEY}),
    ):
        yield

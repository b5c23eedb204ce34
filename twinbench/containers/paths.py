"""What lies at a path in a container, as its engine says: nothing in the container is asked."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

_STAT_HEADER = "X-Docker-Container-Path-Stat"
_NOT_PLAIN = sum(1 << bit for bit in (31, 27, 26, 25, 24, 21, 19))
"""In Go's ``FileMode``: folder, symbolic link, device, FIFO, socket, character device, irregular."""


def is_plain_file(api: docker.APIClient, container: Container, path: str) -> bool:
    """Whether there is a plain file at a path, or nothing.

    Raises:
        docker.errors.APIError: the engine does not say; ``translated`` is for the caller.
    """
    from docker.utils import decode_json_header

    # docker-py has no method for this request, which only looks: to fetch the file would open it.
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

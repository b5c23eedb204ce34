"""Starts one container, and contains what all containers of twinbench have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twinbench.causes import CausedError
from twinbench.containers.engine import (
    MIN_FREE_MIB,
    ContainerLostError,
    Engine,
    EngineLostError,
    EngineRefusedError,
    ImageError,
    docker_errors_as_ours,
)
from twinbench.containers.labels import labels, new_name
from twinbench.containers.ownership import remove_container

if TYPE_CHECKING:
    from docker.models.containers import Container

# Reaps orphaned processes. As the first process of its namespace it ignores signals from inside, including TERM.
# It waits on its own pipe and needs no file, so it keeps running whatever files commands remove.
_FIRST_PROCESS = "trap '' TERM; exec 0<> <(:) >/dev/null 2>&1; while :; do read -r; done"

_LOG_BYTES = "64k"
CANNOT_EXECUTE = (126, 127)
"""The exit codes for a command that cannot be executed, or does not exist."""


@dataclass(frozen=True)
class ContainerLimits:
    """The limits of a container."""

    memory_mib: int = 4096
    processes: int = 1024
    """Processes and threads."""
    file_mib: int = 1024
    """The largest file (RLIMIT_FSIZE)."""
    written_mib: int = 4096
    """The total size of the files written to its file system, checked every second."""
    life_s: float = 24 * 3600
    """The age from which ``gc`` may remove it, even if its owner still runs."""
    network: bool = False
    sys_admin: bool = False
    """Whether it has the capability SYS_ADMIN, with which SWE-bench grades."""
    min_free_mib: int = MIN_FREE_MIB
    """The free space that the engine's disk must have."""


def start_container(
    engine: Engine,
    image: str,
    limits: ContainerLimits,
    *,
    role: str,
    run: str = "",
    case: str = "",
    **options: Any,
) -> Container:
    """Start a container that does nothing by itself.

    Args:
        engine: the container engine.
        image: must be present.
        limits: the container's limits.
        role: its purpose: ``case``, ``grade`` or ``router``.
        run: the run that it belongs to.
        case: the case that it belongs to.
        options: further arguments of docker's ``containers.create``.

    Raises:
        DiskError: the free space of the engine's disk is below the limit.
        ImageError: the image is not present, or has no bash that runs.
        EngineLostError: the engine refuses, or does not answer any more.
    """
    from docker.types import LogConfig, Ulimit

    engine.refuse_full_disk(limits.min_free_mib)
    largest = limits.file_mib * 2**20
    try:
        with docker_errors_as_ours(f"create a container of {image}"):
            container = engine.client.containers.create(
                image,
                ["bash", "-c", _FIRST_PROCESS],
                entrypoint=[],
                name=new_name(role),
                hostname="sandbox",
                stop_signal="SIGKILL",  # the first process ignores other signals, so a stopping engine need not wait
                labels=labels(role=role, run=run, case=case, life_s=limits.life_s) | dict(engine.lease_labels),
                network_mode="bridge" if limits.network else "none",
                mem_limit=f"{limits.memory_mib}m",
                memswap_limit=f"{limits.memory_mib}m",
                pids_limit=limits.processes,
                ulimits=[Ulimit(name="fsize", soft=largest, hard=largest), Ulimit(name="core", soft=0, hard=0)],
                cap_add=["SYS_ADMIN"] if limits.sys_admin else [],
                security_opt=["no-new-privileges"],
                # The log only contains the reason if the first process does not run; otherwise it closes its output.
                log_config=LogConfig(type=LogConfig.types.JSON, config={"max-size": _LOG_BYTES, "max-file": "1"}),
                **options,
            )
    except ContainerLostError as error:  # before there is a container, the lost object is its image
        raise ImageError(f"image {image} is not present: {error}") from None
    except EngineRefusedError:
        engine.image_identity(image)  # reports an image name that the engine refuses
        raise
    try:
        with docker_errors_as_ours(f"start a container of {image}"):
            container.start()
    except (ContainerLostError, EngineLostError) as error:
        reason = _start_error(container, image, error)
        remove_container(container)
        raise reason from None
    except BaseException:
        remove_container(container)
        raise
    return container


def last_log_line(container: Container) -> str:
    """Return the last line that the first process of a container wrote; empty if there is none."""
    with docker_errors_as_ours("read the log of a container"):
        lines: list[str] = container.logs(tail=1).decode("utf-8", "replace").splitlines()
    return lines[-1].strip() if lines else ""


def _start_error(container: Container, image: str, error: CausedError) -> CausedError:
    """Return an error about the image if the engine could not execute the first process."""
    try:
        with docker_errors_as_ours("look at a container that did not start"):
            container.reload()
    except CausedError:
        return error
    state = container.attrs["State"]
    if state.get("ExitCode") not in CANNOT_EXECUTE:
        return error
    return ImageError(f"image {image} cannot run bash: {state.get('Error') or error}")

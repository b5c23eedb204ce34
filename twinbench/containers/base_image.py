"""The base image: Debian with Python, git and pytest, for our own tasks and for routers in strict isolation.

It is built on Debian's official image if a registry can be reached, otherwise made from the machine's own Debian
mirror, with the same packages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from twinbench.containers.building import build_image
from twinbench.containers.engine import RECIPE_LABEL, Engine, ImageError, docker_errors_as_ours
from twinbench.display.progress import Progress, no_progress
from twinbench.fingerprint import sha256_file
from twinbench.storage.temporary_folders import temporary_folder

BASE_IMAGE = "twinbench-base:latest"

_RELEASE = "bookworm"
_PACKAGES = ("ca-certificates", "git", "patch", "procps", "python3", "python3-pytest")
_OFFICIAL = f"debian:{_RELEASE}-slim"
_DOCKERFILE = f"""FROM {_OFFICIAL}
RUN apt-get update && apt-get install -y --no-install-recommends {" ".join(_PACKAGES)} && rm -rf /var/lib/apt/lists/*
"""
_SOURCE_DATE = "1700000000"
"""The time of every file, fixed so that the same packages give the same image."""

_SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
_MIRROR = re.compile(r"^(?:URIs:|deb(?:\s+\[[^\]]*\])?)\s+(\S+)", re.MULTILINE)
_BUILD_TIMEOUT_S = 900


def ensure_base_image(engine: Engine, progress: Progress = no_progress) -> None:
    """Make the base image if it is missing.

    Raises:
        ImageError: neither way works; the message says what each of them lacked.
    """
    if engine.has_image(BASE_IMAGE):
        return
    try:
        build_image(engine, BASE_IMAGE, _DOCKERFILE, {}, progress)
    except ImageError as error:
        not_built = error
    else:
        return
    mirror = _mirror()
    if mirror is None or shutil.which("mmdebstrap") is None:
        lacking = "this machine has no Debian mirror" if mirror is None else "mmdebstrap is not installed"
        raise ImageError(
            f"the base image can neither be built on {_OFFICIAL} ({not_built}), nor made from a mirror ({lacking}): "
            f"let the engine reach a registry, or on Debian: apt install mmdebstrap; or load one as {BASE_IMAGE}"
        )
    progress(f"making {BASE_IMAGE} from the Debian mirror", 0, None)
    with temporary_folder() as folder:
        archive = folder / "base.tar"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(_PACKAGES)}"]
        try:
            subprocess.run(  # noqa: S603 - Debian's own tool, found through PATH
                [*command, _RELEASE, str(archive), mirror],
                env={**os.environ, "SOURCE_DATE_EPOCH": _SOURCE_DATE},
                check=True,
                capture_output=True,
                timeout=_BUILD_TIMEOUT_S,
            )
        except subprocess.CalledProcessError as error:
            last = error.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise ImageError(f"mmdebstrap could not make the base image: {''.join(last)}") from None
        except subprocess.TimeoutExpired:
            raise ImageError(f"mmdebstrap did not make the base image in {_BUILD_TIMEOUT_S} s") from None
        recipe = sha256_file(archive)
        with docker_errors_as_ours("import the base image"):
            engine.client.api.import_image_from_file(
                str(archive),
                repository=BASE_IMAGE.partition(":")[0],
                tag=BASE_IMAGE.partition(":")[2],
                changes=[f"LABEL {RECIPE_LABEL}={recipe}"],
            )


def _mirror() -> str | None:
    """Return the mirror that the machine's own apt uses."""
    for path in _SOURCES:
        if path.is_file() and (found := _MIRROR.search(path.read_text("utf-8", "replace"))):
            return found[1]
    return None

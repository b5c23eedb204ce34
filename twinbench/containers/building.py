"""Builds images from a Dockerfile and a context that contains only the intended files.

An image carries the fingerprint of its recipe, so that it is recognised on every machine, and is only rebuilt when the
recipe changes.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Collection, Mapping
from pathlib import Path

from twinbench.containers.engine import RECIPE_LABEL, Engine, ImageError, docker_errors_as_ours
from twinbench.display.progress import Progress, no_progress
from twinbench.fingerprint import fingerprint, sha256_file

_FROM = re.compile(r"^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*(\S+)(?:[ \t]+AS[ \t]+(\S+))?", re.IGNORECASE | re.MULTILINE)
_NOTHING = "scratch"
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
"""The colour codes in which an engine shows the standard error of the build's commands."""
_EXECUTABLE = 0o111
_SHOWN_LINES = 15


def parent_images(dockerfile: str) -> list[str]:
    """Return the images from which a Dockerfile starts."""
    found: list[str] = []
    stages = {_NOTHING}
    for image, stage in _FROM.findall(dockerfile):
        if image.lower() not in stages:
            found.append(image)
        stages.add(stage.lower())
    return found


def context_files(folder: Path, leave_out: Collection[str]) -> dict[str, Path]:
    """Return the files of a build context, by their path in it.

    Args:
        folder: the context.
        leave_out: names of files and folders directly in it that no image may contain.
    """
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.relative_to(folder).parts[0] not in leave_out
        and "__pycache__" not in path.relative_to(folder).parts
    }


def context_content(files: Mapping[str, Path]) -> dict[str, list[object]]:
    """Return the content of a context for a fingerprint: the mode and SHA-256 of each file."""
    return {path: [_mode(file), sha256_file(file)] for path, file in files.items()}


def build_image(
    engine: Engine, name: str, dockerfile: str, files: Mapping[str, Path], progress: Progress = no_progress
) -> None:
    """Build an image, unless it exists and was built from the same recipe.

    Args:
        engine: the container engine.
        name: the image's name.
        dockerfile: its text; the images from which it starts must be present or pullable.
        files: the context.
        progress: called at each step.

    Raises:
        ImageError: the build fails; the message has the last lines that it printed.
    """
    import docker.errors

    for parent in parent_images(dockerfile):
        if not engine.has_image(parent):
            engine.pull(parent, progress)
    recipe = _recipe(engine, dockerfile, files)
    if engine.recipe(name) == recipe:
        return
    said: list[str] = []
    archive = _archive(dockerfile, files)
    with docker_errors_as_ours(f"build image {name}"):
        events = engine.client.api.build(
            fileobj=archive,
            custom_context=True,
            tag=name,
            labels={RECIPE_LABEL: recipe},
            rm=True,
            forcerm=True,
            decode=True,
        )
        error: str | None = None
        try:
            for event in events:  # read to the end, also after an error: otherwise the connection would stay open
                error = event.get("error", error)
                said += _COLOUR.sub("", str(event.get("stream", ""))).splitlines()
                if said and said[-1].startswith("Step "):
                    progress(f"building {name}", len([line for line in said if line.startswith("Step ")]), None)
        except docker.errors.APIError as refusal:
            if not refusal.is_client_error():
                raise
            # A Dockerfile that cannot be parsed is refused before there are any events.
            raise ImageError(f"image {name} cannot be built: {refusal.explanation or refusal}") from None
    if error is not None:
        last = "\n".join(said[-_SHOWN_LINES:])
        raise ImageError(f"image {name} cannot be built: {error.strip()}\n{last}".rstrip())


def _recipe(engine: Engine, dockerfile: str, files: Mapping[str, Path]) -> str:
    layers = {parent: engine.layers(parent) for parent in parent_images(dockerfile)}
    return fingerprint({"dockerfile": dockerfile, "files": context_content(files), "parents": layers})


def _archive(dockerfile: str, files: Mapping[str, Path]) -> io.BytesIO:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, mode, content in [
            ("Dockerfile", 0o644, dockerfile.encode()),
            *((path, _mode(file), file.read_bytes()) for path, file in files.items() if path != "Dockerfile"),
        ]:
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    archive.seek(0)
    return archive


def _mode(file: Path) -> int:
    """Return the mode of a file as git knows it, since the user's umask is not part of a recipe."""
    return 0o755 if file.stat().st_mode & _EXECUTABLE else 0o644

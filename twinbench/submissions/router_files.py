"""The files of a router: gathered for a submission, and held against what a router's fingerprint is of."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qsl

from twinbench.errors import UsageError
from twinbench.fingerprint import fingerprint, sha256_file
from twinbench.plugins.artefact import MOST_MANIFEST_BYTES, WHEELS, Artefact, parse_manifest
from twinbench.plugins.artefact_names import MANIFEST
from twinbench.plugins.loading import LoadedRouter
from twinbench.plugins.spec import RouterSpec, parse_spec
from twinbench.routers.registry import BUILT_IN
from twinbench.submissions.archive import ArchiveError, open_archive
from twinbench.submissions.manifest import SubmittedRouter

ROUTER_FOLDER = "router"

_MOST_INCLUDED = 10_000
_MOST_NAMED = 5
_WHEEL = ".whl"
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class GatheredRouter:
    """A router as a submission has it."""

    described: SubmittedRouter
    files: Mapping[str, Path]
    """Its files, by their paths in the archive."""
    notes: tuple[str, ...] = ()
    """What a reviewer will find missing."""


def gather_router(router: LoadedRouter, include: Sequence[str] = ()) -> GatheredRouter:
    """Gather the files that a router's fingerprint is of, and others that it reads.

    Args:
        router: a router that was loaded by its spec.
        include: globs of further files, relative to the folder of the router's file, or to the working directory
            where it is a module.

    Raises:
        UsageError: a file is not found, has changed meanwhile, or has a path that an archive cannot have.
    """
    spec = parse_spec(router.name)
    identity = dict(router.identity or {})
    if spec.kind == "endpoint" or router.identity is None:
        return GatheredRouter(SubmittedRouter(spec=router.name, closed=True), {})
    files: dict[str, Path] = {}
    if router.artefact is not None:
        files = _artefact_files(router.artefact, include)
    elif spec.kind != "built-in":
        root = Path(spec.target).resolve().parent if spec.kind == "file" else Path.cwd()
        for name, sha256 in identity["files"].items():
            files[f"{ROUTER_FOLDER}/{name}"] = _found(name, sha256, [root, *map(Path, sys.path)])
        for argument in identity["argument_files"]:
            files |= _argument_file(spec, argument, root)
        for glob in include:
            files |= _find_included(glob, root)
    described = SubmittedRouter(
        spec=spec_in_archive(spec),
        identity=identity,
        fingerprint=router.fingerprint,
        files=tuple(sorted(files)),
    )
    needed = [] if spec.kind == "built-in" else _lacking(described)
    return GatheredRouter(described, files, (_missing_wheels_note(needed),) if needed else ())


def spec_in_archive(spec: RouterSpec) -> str:
    """Return the spec that loads a router from within the archive's folder of its files."""
    if spec.kind not in ("file", "artefact"):
        return spec.text
    rest = spec.text.partition("?")
    path = Path(spec.target).resolve()
    name = f"{path.name}:{spec.attribute}" if spec.kind == "file" else _folder_in_archive(path)
    return f"{name}?{rest[2]}" if rest[1] else name


def place_router(router: SubmittedRouter, folder: Path) -> str:
    """Return the spec that loads a submission's router where its files now are.

    A module is loaded through a file beside it that imports it, since strict isolation sees no folder of modules.

    Args:
        router: the manifest's router, which ``compare_identity`` found no contradiction in.
        folder: the extracted folder of the router's files; such a file is written there.
    """
    identity = router.identity or {}
    if not router.files or not folder.is_dir():
        return router.spec
    if "artefact" in identity or ".py:" in router.spec:
        return f"{folder}/{router.spec}"
    target, attribute = str(identity.get("target")), str(identity.get("attribute"))
    if identity.get("kind") != "module" or not (_DOTTED.fullmatch(target) and attribute.isidentifier()):
        return router.spec
    door = folder / "asked_from_here.py"
    while door.exists():
        door = door.with_stem(f"{door.stem}_")
    door.write_text(f"from {target} import {attribute}\n", "utf-8")
    door.chmod(0o644)
    _, mark, arguments = router.spec.partition("?")
    return f"{door}:{attribute}{mark}{arguments}"


def is_in_archive(router: SubmittedRouter) -> bool:
    """Return whether all of a router's code that strict isolation needs is among a submission's files."""
    identity = router.identity or {}
    return "built-in" in identity or (bool(router.files) and identity.get("kind") != "trb" and not _lacking(router))


def _lacking(router: SubmittedRouter) -> list[str]:
    """Return the names of distributions that a router imports, where no wheels are among its files."""
    if any(f"/{WHEELS}/" in name and name.endswith(_WHEEL) for name in router.files):
        return []
    return sorted(_texts((router.identity or {}).get("distributions")))


def _missing_wheels_note(needed: Sequence[str]) -> str:
    return (
        f"the router imports {', '.join(needed[:_MOST_NAMED])}, which strict isolation has only where wheels are named "
        f"(--plugin-wheels) or are in a trained router's {WHEELS}/: otherwise it cannot be called again"
    )


def wheel_problems(folder: Path) -> Iterator[str]:
    """Find wheels of trained routers that are not valid archives: they are unpacked when such a router is called.

    Args:
        folder: the extracted folder of the router's files.
    """
    for wheel in sorted(folder.glob(f"*/{WHEELS}/*")):
        name = f"{ROUTER_FOLDER}/{wheel.relative_to(folder).as_posix()}"
        if wheel.suffix != _WHEEL:
            yield f"{name}: not a wheel"
            continue
        try:
            with open_archive(wheel, skip_folders=True):
                pass
        except ArchiveError as error:
            yield f"{name}: {error}"


def compare_identity(
    router: SubmittedRouter, digests: Mapping[str, str], read: Callable[[str, int], bytes]
) -> Iterator[str]:
    """Find contradictions between a router's fingerprint, what it is said to be of, and the files in the archive.

    Args:
        router: the manifest's router.
        digests: the SHA-256 of every file of the archive, by its path.
        read: returns the content of a file of the archive, given its path and largest size.

    Yields:
        Each contradiction as a sentence.
    """
    if router.closed:
        if router.identity is not None or router.files:
            yield "a closed router has no files, and this one names some"
        return
    identity = router.identity
    if identity is None or router.fingerprint is None:
        yield "neither is the router closed, nor is it said what its fingerprint is of"
        return
    if (made := fingerprint(identity)) != router.fingerprint:
        yield f"the fingerprint is {router.fingerprint}, what it is said to be of has {made}"
    below = {path for path in digests if path.startswith(f"{ROUTER_FOLDER}/")}
    if strange := sorted(below ^ set(router.files)):
        yield f"{strange[0]}: is in the archive or in the router's list of files, and not in both"
    yield from _spec_problems(router, identity)
    if "built-in" in identity:
        return
    if "artefact" in identity:
        yield from _artefact_problems(router, identity["artefact"], digests, read)
        return
    for name, sha256 in _texts(identity.get("files")).items():
        found = digests.get(f"{ROUTER_FOLDER}/{name}")
        if found != sha256:
            what = "is missing" if found is None else "is another file than the one"
            yield f"{ROUTER_FOLDER}/{name}: {what} that the router's fingerprint is of"
    arguments = _texts(identity.get("arguments"))
    for name, sha256 in _texts(identity.get("argument_files")).items():
        path = f"{ROUTER_FOLDER}/{PurePosixPath(arguments.get(name, ''))}"
        if digests.get(path) != sha256:
            yield f"{path}: is missing, or another file than the one that the router's fingerprint is of"


def _spec_problems(router: SubmittedRouter, identity: Mapping[str, Any]) -> Iterator[str]:
    """Find a spec that names another router than the one that the fingerprint is of, or a file outside."""
    name, _, query = router.spec.partition("?")
    arguments = dict(parse_qsl(query, keep_blank_values=True))
    if arguments != _texts(identity.get("arguments")):
        yield f"the spec {router.spec} has other arguments than the fingerprint is of"
    if "built-in" in identity:
        if name != identity["built-in"]:
            yield f"the spec {router.spec} is not that of the built-in router {identity['built-in']}"
        return
    if "artefact" in identity:
        if (problem := _folder_problem(name)) is not None:
            yield f"the spec {router.spec} {problem}"
        return
    target, _, attribute = name.rpartition(":")
    if identity.get("kind") == "file":
        if (target, attribute) != (identity.get("target"), identity.get("attribute")):
            yield f"the spec {router.spec} names another file or class than the fingerprint is of"
        if f"{ROUTER_FOLDER}/{target}" not in router.files:
            yield f"the spec {router.spec} names a file that is not among the router's"
    elif target.endswith(".py") or "/" in name:
        yield f"the spec {router.spec} names a file, but the fingerprint is that of a module"
    elif target and (target.removeprefix("trb:"), attribute) != (identity.get("target"), identity.get("attribute")):
        yield f"the spec {router.spec} names another module or class than the fingerprint is of"


def _folder_in_archive(folder: Path) -> str:
    """Return the name of a trained router's folder in an archive, which must not be that of a built-in router."""
    return f"{folder.name}-trained" if folder.name in BUILT_IN else folder.name


def _folder_problem(name: str) -> str | None:
    """Return why a folder of this name cannot be that of a trained router in an archive."""
    if not name or name in BUILT_IN or any(each in name for each in "/:?\\"):
        return "is not a valid name for the folder of a trained router: it would name another kind of router"
    return None


def _artefact_problems(
    router: SubmittedRouter, sha256: Any, digests: Mapping[str, str], read: Callable[[str, int], bytes]
) -> Iterator[str]:
    """Find what is not as training left it in the folder of a trained router."""
    folder = f"{ROUTER_FOLDER}/{router.spec.partition('?')[0]}"
    path = f"{folder}/{MANIFEST}"
    if digests.get(path) != sha256:
        yield f"{path}: is missing, or another file than the one that the router's fingerprint is of"
        return
    try:
        manifest = parse_manifest(read(path, MOST_MANIFEST_BYTES))
    except ValueError as error:
        yield f"{path}: {error}"
        return
    for name, told in manifest.files.items():
        if digests.get(f"{folder}/{name}") != told:
            yield f"{folder}/{name}: is missing, or another file than the one that was trained"
    known = {path, *(f"{folder}/{name}" for name in manifest.files)}
    for name in router.files:
        if name not in known and not name.startswith(f"{folder}/{WHEELS}/"):
            yield f"{name}: not part of the trained router, which could read it"


def _texts(value: Any) -> dict[str, str]:
    """Return the texts of an object that a stranger wrote."""
    if not isinstance(value, dict):
        return {}
    return {name: text for name, text in value.items() if isinstance(text, str)}


def _found(name: str, sha256: str, roots: Sequence[Path]) -> Path:
    for root in roots:
        path = root / name
        if path.is_file() and sha256_file(path) == sha256:
            return path
    raise UsageError(f"the router's file {name} was changed while it was read, or is no longer there")


def _artefact_files(artefact: Artefact, include: Sequence[str]) -> dict[str, Path]:
    """Return all of a trained router's folder that its own manifest names, and the wheels that may be beside it."""
    folder = artefact.folder
    if include:
        raise UsageError(f"--include: a trained router has all that it needs in {folder}; train it with what it reads")
    name = _folder_in_archive(folder)
    if (problem := _folder_problem(name)) is not None:
        raise UsageError(f"{folder}: {name!r} {problem}; rename the folder")
    wheels = sorted(artefact.wheels.glob(f"*{_WHEEL}")) if artefact.wheels is not None else []
    inner = [MANIFEST, *artefact.manifest.files, *(f"{WHEELS}/{wheel.name}" for wheel in wheels)]
    return {f"{ROUTER_FOLDER}/{name}/{each}": folder / each for each in inner}


def _argument_file(spec: RouterSpec, argument: str, root: Path) -> dict[str, Path]:
    value = spec.arguments[argument]
    inner = PurePosixPath(value)
    if inner.is_absolute() or ".." in inner.parts:
        raise UsageError(
            f"router {spec.text!r}: {argument}={value} is outside of the folder of the router, so it cannot be "
            "submitted under this name: put the file beside the router and name it relative to that"
        )
    if not (root / inner).is_file() or not (Path.cwd() / inner).samefile(root / inner):
        raise UsageError(
            f"router {spec.text!r}: {argument}={value} is not found from the router's own folder: run from {root}"
        )
    return {f"{ROUTER_FOLDER}/{inner}": root / inner}


def _find_included(glob: str, root: Path) -> dict[str, Path]:
    if PurePosixPath(glob).is_absolute() or ".." in PurePosixPath(glob).parts:
        raise UsageError(f"--include {glob}: name files below {root}")
    found = {}
    for path in sorted(root.glob(glob)):
        inside = [path, *path.rglob("*")] if path.is_dir() else [path]
        for each in inside:
            if each.is_symlink():
                raise UsageError(f"--include {glob}: {each} is a link; a submission has plain files")
            if each.is_file() and "__pycache__" not in each.parts:
                found[f"{ROUTER_FOLDER}/{each.relative_to(root).as_posix()}"] = each
            if len(found) > _MOST_INCLUDED:
                raise UsageError(f"--include {glob}: more than {_MOST_INCLUDED:,} files")
    if not found:
        raise UsageError(f"--include {glob}: no such file below {root}")
    return found


def hash_and_size(files: Mapping[str, Path | bytes]) -> dict[str, tuple[str, int]]:
    """Return the SHA-256 and the size of each file."""
    return {
        name: (sha256_file(content), content.stat().st_size)
        if isinstance(content, Path)
        else (hashlib.sha256(content).hexdigest(), len(content))
        for name, content in files.items()
    }

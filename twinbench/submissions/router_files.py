"""The files of a router: gathered for a submission, and held against what a router's fingerprint is of."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl

from twinbench.display.wording import format_count
from twinbench.errors import UsageError
from twinbench.fingerprint import fingerprint, sha256_file
from twinbench.plugins.artefact import MOST_MANIFEST_BYTES, WHEELS, Artefact, parse_manifest
from twinbench.plugins.artefact_names import MANIFEST
from twinbench.plugins.loading import LoadedRouter
from twinbench.plugins.spec import RouterSpec, parse_spec
from twinbench.routers.registry import BUILT_IN
from twinbench.submissions.archive import ArchiveError, open_archive
from twinbench.submissions.identities import BuiltInIdentity, CodeIdentity, TrainedIdentity, parse_identity
from twinbench.submissions.manifest import SubmittedRouter

ROUTER_FOLDER = "router"

_MOST_INCLUDED = 10_000
_MOST_NAMED = 5
_WHEEL = ".whl"


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
    included: tuple[str, ...] = ()
    if router.artefact is not None:
        files = _artefact_files(router.artefact, include)
    elif spec.kind != "built-in":
        root = Path(spec.target).resolve().parent if spec.kind == "file" else Path.cwd()
        if spec.kind == "file" and (real := Path(spec.target).resolve()).name != Path(spec.target).name:
            raise UsageError(f"{spec.target} is a link to {real}: name that file, which is what is submitted")
        for name, sha256 in identity["files"].items():
            files[f"{ROUTER_FOLDER}/{name}"] = _found(name, sha256, [root, *map(Path, sys.path)])
        for argument in identity["argument_files"]:
            files |= _argument_file(spec, argument, root)
        of_it = set(files)
        for glob in include:
            files |= _find_included(glob, root)
        included = tuple(sorted(set(files) - of_it))
    described = SubmittedRouter(
        spec=spec_in_archive(spec),
        identity=identity,
        fingerprint=router.fingerprint,
        files=tuple(sorted(files)),
        included=included,
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
    """Return the spec that loads a submission's router where its files now are, and from nowhere else.

    A module is loaded through a file beside the router's that imports it, since strict isolation sees no folder of
    modules; so is an installed router, which only wheels can bring there.

    Args:
        router: the manifest's router, which ``compare_identity`` found no contradiction in.
        folder: the extracted folder of the router's files, which is made if there are none; such a file is written
            there.

    Raises:
        UsageError: the router would be looked for outside of that folder.
    """
    try:
        identity = parse_identity(router.identity or {})
    except ValueError as error:
        raise UsageError(str(error)) from None
    _, mark, arguments = router.spec.partition("?")
    match identity:
        case BuiltInIdentity():
            name = identity.name
        case CodeIdentity(kind="trb"):
            name = f"trb:{identity.target}:{identity.attribute}"
        case CodeIdentity(kind="module"):
            name = f"{_write_door(identity, folder)}:{identity.attribute}"
        case CodeIdentity():
            name = f"{folder / identity.target}:{identity.attribute}"
        case _:
            name = f"{folder / router.spec.partition('?')[0]}"
    return _require_within(f"{name}{mark}{arguments}", folder)


def _write_door(identity: CodeIdentity, folder: Path) -> Path:
    """Write a file that imports the class or factory of a module under the same name."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)  # a router in strict isolation is another user
    door = folder / "asked_from_here.py"
    while door.exists():
        door = door.with_stem(f"{door.stem}_")
    door.write_text(f"from {identity.target} import {identity.attribute.partition('.')[0]}\n", "utf-8")
    door.chmod(0o644)
    return door


def _require_within(spec: str, folder: Path) -> str:
    """Return a spec that names a built-in router, a module of the container, or something below a folder.

    Raises:
        UsageError: it names anything else: this is the last word before a stranger's router is loaded.
    """
    parsed = parse_spec(spec)
    if parsed.kind in ("built-in", "trb"):  # strict isolation looks for a module in its own container alone
        return spec
    place = Path(parsed.target).resolve()
    if parsed.kind in ("file", "artefact") and folder.resolve() in place.parents:
        return spec
    raise UsageError(f"the router {spec!r} is not among the files of the submission: it is not called")


def is_in_archive(router: SubmittedRouter) -> bool:
    """Return whether all of a router's code that strict isolation needs is among a submission's files."""
    identity = router.identity or {}
    return "built-in" in identity or (bool(router.files) and identity.get("kind") != "trb" and not _lacking(router))


def _lacking(router: SubmittedRouter) -> list[str]:
    """Return the names of distributions that a router imports, where no wheels are among its files."""
    if any(f"/{WHEELS}/" in name and name.endswith(_WHEEL) for name in router.files):
        return []
    return sorted((router.identity or {}).get("distributions", ()))


def _missing_wheels_note(needed: Sequence[str]) -> str:
    return (
        f"the router imports {', '.join(needed[:_MOST_NAMED])}, which strict isolation has only where wheels are named "
        f"(--plugin-wheels) or are in a trained router's {WHEELS}/: otherwise it cannot be called again"
    )


def wheel_problems(router: SubmittedRouter, folder: Path) -> Iterator[str]:
    """Find wheels of a trained router that are not valid archives: they are unpacked when it is called.

    Args:
        router: the manifest's router.
        folder: the extracted folder of the router's files.
    """
    if "artefact" not in (router.identity or {}):
        return
    for wheel in sorted(folder.glob(f"*/{WHEELS}/*")):
        name = f"{ROUTER_FOLDER}/{wheel.relative_to(folder).as_posix()}"
        if wheel.suffix != _WHEEL or not wheel.is_file():
            yield f"{name}: not a wheel"
            continue
        try:
            with open_archive(wheel, skip_folders=True):
                pass
        except (ArchiveError, UsageError) as error:
            yield f"{name}: {error}"


def wheels_beside(router: SubmittedRouter) -> str | None:
    """Return the folder of wheels in the archive that a trained router may import from; None if there is none."""
    found = [name for name in router.files if f"/{WHEELS}/" in name]
    if "artefact" not in (router.identity or {}) or not found:
        return None
    return min(found).partition(f"/{WHEELS}/")[0] + f"/{WHEELS}"


def describe_match(router: SubmittedRouter) -> str:
    """Return what it means that nothing contradicts a router's fingerprint."""
    if router.closed:
        return "closed"
    told = "the files are those that the router's fingerprint is of"
    if not router.included:
        return told
    named = ", ".join(router.included[:_MOST_NAMED]) + (", …" if len(router.included) > _MOST_NAMED else "")
    number = format_count(len(router.included), "file")
    return f"{told}, but for {number} that it may read and its fingerprint is not of (--include): {named}"


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
    compiled = [name for name in router.files if "__pycache__" in name.split("/") or name.endswith((".pyc", ".pyo"))]
    if compiled:
        yield f"{compiled[0]}: is compiled code, which Python would run in place of the source that one can read"
    below = {path for path in digests if path.startswith(f"{ROUTER_FOLDER}/")}
    if strange := sorted(below ^ set(router.files)):
        yield f"{strange[0]}: is in the archive or in the router's list of files, and not in both"
    try:
        known = parse_identity(identity)
    except ValueError as error:
        yield str(error)
        return
    name, _, query = router.spec.partition("?")
    if dict(parse_qsl(query, keep_blank_values=True)) != known.arguments:
        yield f"the spec {router.spec} has other arguments than the fingerprint is of"
    match known:
        case BuiltInIdentity():
            yield from _built_in_problems(router, name, known)
        case TrainedIdentity():
            yield from _artefact_problems(router, name, known, digests, read)
        case CodeIdentity():
            yield from _code_problems(router, name, known, digests)


def _built_in_problems(router: SubmittedRouter, name: str, identity: BuiltInIdentity) -> Iterator[str]:
    if name != identity.name:
        yield f"the spec {router.spec} is not that of the built-in router {identity.name}"
    for path in router.files:
        yield f"{path}: a built-in router has no files"


def _code_problems(
    router: SubmittedRouter, name: str, identity: CodeIdentity, digests: Mapping[str, str]
) -> Iterator[str]:
    """Find files that are not those of the fingerprint, and a spec that names another router."""
    yield from _code_spec_problems(router, name, identity)
    hashed = {f"{ROUTER_FOLDER}/{inner}": sha256 for inner, sha256 in identity.files.items()}
    for argument, sha256 in identity.argument_files.items():
        path = f"{ROUTER_FOLDER}/{PurePosixPath(identity.arguments.get(argument, ''))}"
        if hashed.setdefault(path, sha256) != sha256:
            yield f"{path}: the fingerprint is of two contents of it"
    for path, sha256 in hashed.items():
        if (found := digests.get(path)) != sha256:
            what = "is missing" if found is None else "is another file than the one"
            yield f"{path}: {what} that the router's fingerprint is of"
    targets = {f"{ROUTER_FOLDER}/{each}" for each in identity.target_files}
    of_its_own = {f"{ROUTER_FOLDER}/{inner}" for inner in identity.files}
    if not targets & of_its_own and (identity.kind == "file" or of_its_own or targets & set(router.files)):
        yield f"{identity.target}: the router's fingerprint is not of the file that the router is in"
    for path in router.files:
        if path not in hashed and path not in router.included:
            yield f"{path}: neither is the router's fingerprint of it, nor does the manifest say that it was included"
        if PurePosixPath(path).name.casefold() == MANIFEST:
            yield f"{path}: belongs to a trained router, and the fingerprint is that of another kind of router"
    for path in router.included:
        if path in hashed or path not in router.files:
            yield f"{path}: is said to be included, and is not in the archive or one that the fingerprint is of"


def _code_spec_problems(router: SubmittedRouter, name: str, identity: CodeIdentity) -> Iterator[str]:
    target, _, attribute = name.rpartition(":")
    is_name = bool(name) and not target and name not in BUILT_IN and "/" not in name and not name.endswith(".py")
    if identity.kind == "module" and is_name:  # an installed router, by the name that it goes by
        return
    prefix = "trb:" if identity.kind == "trb" else ""
    if (target, attribute) != (f"{prefix}{identity.target}", identity.attribute):
        yield f"the spec {router.spec} names another {identity.kind} or class than the fingerprint is of"


def _folder_in_archive(folder: Path) -> str:
    """Return the name of a trained router's folder in an archive, which must not be that of a built-in router."""
    return f"{folder.name}-trained" if folder.name in BUILT_IN else folder.name


def _folder_problem(name: str) -> str | None:
    """Return why a folder of this name cannot be that of a trained router in an archive."""
    if not name or name in BUILT_IN or any(each in name for each in "/:?\\"):
        return "is not a valid name for the folder of a trained router: it would name another kind of router"
    return None


def _artefact_problems(
    router: SubmittedRouter,
    name: str,
    identity: TrainedIdentity,
    digests: Mapping[str, str],
    read: Callable[[str, int], bytes],
) -> Iterator[str]:
    """Find what is not as training left it in the folder of a trained router."""
    if (problem := _folder_problem(name)) is not None:
        yield f"the spec {router.spec} {problem}"
        return
    folder = f"{ROUTER_FOLDER}/{name}"
    path = f"{folder}/{MANIFEST}"
    if digests.get(path) != identity.artefact:
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
    known = {path, *(f"{folder}/{inner}" for inner in manifest.files)}
    for each in router.files:
        if each not in known and not each.startswith(f"{folder}/{WHEELS}/"):
            yield f"{each}: not part of the trained router, which could read it"
    if router.included:
        yield f"{router.included[0]}: is said to be included, and a trained router has all that it needs"


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
            if each.name.casefold() == MANIFEST:
                raise UsageError(f"--include {glob}: {each} is of a trained router: submit the folder as the router")
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

"""The file that lists targets, their sources and their dependencies."""

from dataclasses import dataclass, field

from buildorder.graph import Graph


class ManifestError(ValueError):
    """A manifest that cannot be understood; the message names the line."""


@dataclass
class Manifest:
    """The graph of a manifest, and the targets that own each source."""

    graph: Graph = field(default_factory=Graph)
    owners: dict[str, set[str]] = field(default_factory=dict)


def read_manifest(text: str) -> Manifest:
    """The manifest in a text of lines ``target: sources <- dependencies``.

    Raises:
        ManifestError: a line is malformed, a target is listed twice, or a dependency is not listed at all.
    """
    manifest = Manifest()
    wanted: list[tuple[int, str, list[str]]] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        target, colon, rest = line.partition(":")
        name = target.strip()
        if not colon or not name or " " in name:
            raise ManifestError(f"line {number}: not a target: {line}")
        if name in manifest.graph:
            raise ManifestError(f"line {number}: {name} is listed twice")
        manifest.graph.add(name)
        sources, _, listed = rest.partition("<-")
        for source in sources.split():
            manifest.owners.setdefault(source, set()).add(name)
        wanted.append((number, name, listed.split()))
    for number, name, dependencies in wanted:
        for dependency in dependencies:
            if dependency not in manifest.graph:
                raise ManifestError(f"line {number}: {name} depends on {dependency}, which is not listed")
            manifest.graph.link(name, dependency)
    return manifest

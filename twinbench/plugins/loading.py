"""Load a router from its spec, and compute the fingerprint of what its decisions depend on."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinbench.display.wording import did_you_mean
from twinbench.errors import UsageError
from twinbench.fingerprint import fingerprint, sha256_installed, sha256_text
from twinbench.plugins.arguments import ArgumentError, convert_arguments
from twinbench.plugins.artefact_names import CODE, LEARNED
from twinbench.plugins.limits import PluginLimits, RouterLoadError
from twinbench.plugins.spec import FORMS, RouterSpec, parse_spec, untrained_folder
from twinbench.reading.input_files import is_folder
from twinbench.routers.registry import BUILT_IN
from twinbench.routing.accepting import NotARouterError, RouterLike, as_router, name_of
from twinbench.routing.asking import call_hook
from twinbench.routing.router import Candidate, Router, show_object
from twinbench.routing.router_llm import NoRouterLlm, RouterLlm
from twinbench.storage.manifest_files import live_models

if TYPE_CHECKING:
    from twinbench.plugins.artefact import Artefact
    from twinbench.plugins.description import RouterDescription, RouterNotFoundReply
    from twinbench.plugins.training import RouterInTraining

_PACKAGE = Path(__file__).parents[1]
_DESCRIBE_TIMEOUT_S = 60
_MOST_COMPLAINT_BYTES = 2_000
_INTERFACE = (
    *("routing/router.py", "routing/content.py", "routing/llm.py", "routing/tiers.py", "routing/usage.py"),
    *("plugins/twinrouterbench.py", "plugins/published.py", "plugins/published_text.py"),
    *("plugins/arguments.py", "plugins/constructing.py", "routing/accepting.py"),
)


@dataclass(frozen=True)
class Located:
    """A router that was found."""

    place: dict[str, Any]
    """Where it is, in the form that is sent to its process."""
    identity: dict[str, Any]
    """What its decisions depend on."""
    kind: str
    """``file``, ``module`` or ``built-in``."""
    paths: Mapping[str, str]
    """The paths of its own files in the environment that it runs in, by name."""


@dataclass(frozen=True)
class LoadedRouter:
    """A router with its name and the fingerprint of what its decisions depend on."""

    name: str
    fingerprint: str | None
    """The fingerprint; None if it is unknown (an instance, an endpoint), so that results are never cached."""
    _opener: Callable[[tuple[Candidate, ...], RouterLlm], contextlib.AbstractContextManager[Router]]
    identity: Mapping[str, Any] | None = field(default=None, repr=False)
    """The content of the fingerprint."""
    may_ask: bool = True
    """Whether the router may ask an LLM through twinbench: built-in routers do not, endpoints pay for their own calls.
    """
    artefact: Artefact | None = None
    """The folder that the router was loaded from, if it was trained."""
    is_untrained: bool = False
    """Whether it is a built-in router that decides nothing before it is trained, and was not."""

    def require_trained(self) -> LoadedRouter:
        """Return itself.

        Raises:
            UsageError: it is a built-in router that has to be trained, and was not.
        """
        if self.is_untrained:
            raise UsageError(
                f"router {self.name!r} learns, and was not trained: twinbench router train {self.name!r} --bank NAME "
                f"--split train --out DIR makes a folder that is a router; twinbench static crossval {self.name!r} "
                "trains and scores it on the folds of a bank"
            )
        return self

    @contextmanager
    def open(self, candidates: tuple[Candidate, ...], llm: RouterLlm | None = None) -> Iterator[Router]:
        """Open the router for use within the block; its process, if it has one, ends with the block.

        Args:
            candidates: the candidates that it picks from.
            llm: the handle through which it may ask an LLM; without one, every LLM call is refused.

        Raises:
            UsageError: the router is not found, or its arguments are invalid.
            RouterLoadError: its code fails while it loads.
        """
        with self._opener(candidates, llm or NoRouterLlm()) as router:
            yield router


def load_router(spec: str | RouterLike, limits: PluginLimits | None = None) -> LoadedRouter:
    """The router that ``spec`` names; an instance, or a function of one call, as it is.

    Raises:
        UsageError: nothing is found under that name, the arguments do not fit, or the object is not a router.
    """
    if not isinstance(spec, str):
        return _wrap_router_object(spec)
    limits = _resolve_python(limits or PluginLimits())
    parsed = parse_spec(spec)
    if parsed.kind == "built-in":
        router = _make_built_in(parsed)
        opener = (
            partial(_open_process_router, spec, _place_of_built_in(parsed), limits)
            if limits.watch
            else partial(_open_instance, router)
        )
        made = _make_loaded_router(spec, _built_in_identity(parsed), opener, may_ask=False)
        return replace(made, is_untrained=hasattr(router, "fit"))
    if parsed.kind == "endpoint" and limits.isolation is not None:
        raise UsageError(f"router {spec!r} is an HTTP endpoint: --isolation strict has no network to reach it")
    if parsed.kind == "endpoint":
        from twinbench.plugins.endpoint import EndpointRouter  # an HTTP client takes longer to load than a score

        endpoint = EndpointRouter(parsed.target, limits.decision_s)
        return LoadedRouter(spec, None, lambda _, __: endpoint, may_ask=False)
    if parsed.kind == "artefact":
        return load_trained(parsed, limits)
    locate = _locate(parsed, limits)
    opener = partial(_open_process_router, spec, locate.place, limits)
    return _make_loaded_router(spec, locate.identity | _conditions(limits), opener)


def locate_for_training(spec: str, limits: PluginLimits) -> Located:
    """Locate the router that ``spec`` names, and what it depends on, so that it can be trained.

    Raises:
        UsageError: nothing is found under that name, the router cannot be trained, or an argument names a file.
    """
    parsed = parse_spec(spec)
    if parsed.kind == "endpoint":
        raise UsageError(f"router {spec!r} runs elsewhere: it can be trained there alone")
    if parsed.kind == "trb":
        raise UsageError(f"router {spec!r}: routers of the TwinRouterBench repository have no method fit(trajectories)")
    if parsed.kind == "artefact":
        raise UsageError(f"router {spec!r} was trained already: name the router that it was made of")
    if parsed.kind == "built-in":
        _make_built_in(parsed)  # refuses its arguments before anything is read for it
        identity = {"built-in": parsed.target, "files": _built_in_files(), "python": _python(), "distributions": {}}
        return Located(_place_of_built_in(parsed), identity, "built-in", {})
    locate = _locate(parsed, _resolve_python(limits))
    if locate.identity["argument_files"]:
        named = ", ".join(locate.identity["argument_files"])
        raise UsageError(
            f"router {spec!r}: its argument {named} names a file, which a trained router does not take along; let fit "
            "keep what it needs of it"
        )
    return locate


def open_for_training(
    name: str, locate: Located, limits: PluginLimits, candidates: tuple[Candidate, ...]
) -> RouterInTraining:
    """Return a context manager that loads the router in a separate process for training."""
    from twinbench.plugins.training import RouterInTraining

    return RouterInTraining(name, locate.place, candidates, _resolve_python(limits), {})


def load_trained(parsed: RouterSpec, limits: PluginLimits) -> LoadedRouter:
    """Load a trained router from its folder.

    Raises:
        UsageError: the folder is damaged, or another release's.
    """
    from twinbench.plugins.artefact import read_artefact

    artefact = read_artefact(Path(parsed.target))
    manifest, folder = artefact.manifest, artefact.folder
    if limits.isolation is not None and artefact.wheels is not None:
        limits = replace(limits, isolation=limits.isolation.with_wheels(artefact.wheels))
    arguments = {**manifest.settings, **parsed.arguments}
    request = {
        "kind": "file" if manifest.origin == "file" else "module",
        "target": manifest.target,
        "attribute": manifest.attribute,
        "arguments": arguments,
        "path": [str(folder / CODE)],
        "folder": str(folder),
        "learned": str(folder / LEARNED),
        "artefact": str(folder),
    }
    if manifest.origin == "built-in":
        built_in = BUILT_IN.get(manifest.target)
        if built_in is None or _built_in_files() != manifest.code.files:
            raise UsageError(
                f"router {parsed.text!r} was trained with another version of twinbench's {manifest.target} "
                f"({manifest.twinbench}): train it again"
            )
        request |= {"target": built_in.__module__, "attribute": built_in.__name__}
        if limits.isolation is None and limits.python is None:  # else it may have there what it lacks here
            _make_built_in(replace(parsed, target=manifest.target, arguments=arguments))
    elif manifest.origin == "file":
        request["target"] = str(folder / CODE / manifest.target)
    if limits.isolation is not None:
        request = limits.isolation.locate(request)
    found = _run_describe(parsed, request, limits)
    identity = {
        "artefact": artefact.fingerprint,
        "arguments": dict(parsed.arguments),
        "python": found.python,
        "distributions": found.distributions,
        # A file in the folder of the artefact, whose digest the manifest has, or one that this use of it names.
        **({"argument_files": found.arguments} if found.arguments else {}),
    }
    opener = partial(_open_process_router, parsed.text, request, limits)
    return _make_loaded_router(parsed.text, identity | _conditions(limits), opener, artefact=artefact)


def _make_loaded_router(
    name: str,
    identity: Mapping[str, Any],
    opener: Callable[[tuple[Candidate, ...], RouterLlm], contextlib.AbstractContextManager[Router]],
    *,
    may_ask: bool = True,
    artefact: Artefact | None = None,
) -> LoadedRouter:
    return LoadedRouter(name, fingerprint(identity), opener, identity, may_ask, artefact)


def _wrap_router_object(router: RouterLike) -> LoadedRouter:
    """A router of this process.

    Raises:
        UsageError: it is none.
    """
    try:
        accepted = as_router(router, show_object(router, 200))
    except NotARouterError as error:
        raise UsageError(f"no router: {error}") from None
    return LoadedRouter(router_name(router), None, partial(_open_instance, accepted))


def router_name(router: str | RouterLike) -> str:
    """The name that a router goes by in tables: its spec, its class or its function."""
    if isinstance(router, str):
        return router
    return f"instance:{type(router).__name__}" if hasattr(router, "route") else f"function:{name_of(router)}"


def _resolve_python(limits: PluginLimits) -> PluginLimits:
    """Return ``limits`` with the interpreter's absolute path; a symbolic link is kept, since it identifies a venv.

    Raises:
        UsageError: the interpreter is not found.
    """
    if limits.python is None:
        return limits
    found = shutil.which(limits.python)
    if found is None:
        raise UsageError(f"--python {limits.python}: no such program")
    return replace(limits, python=os.path.abspath(found))  # noqa: PTH100 - resolve() would follow the link


def _conditions(limits: PluginLimits) -> dict[str, Any]:
    """Return what may influence decisions beside the router's own code: environment, limits and twinbench's side of the
    interface.
    """
    seen = {name: sha256_text(os.environ[name]) for name in limits.environment if name in os.environ}
    return {
        "environment": seen,
        "decision_s": limits.decision_s,
        "memory_mib": limits.memory_mib,
        "latency": "measured outside",  # results cached when routers reported it themselves are not comparable
        "interface": {name: sha256_installed(_PACKAGE / name) for name in _INTERFACE},
        **({} if limits.isolation is None else {"isolation": limits.isolation.conditions()}),
    }


@contextmanager
def _open_instance(router: Router, _: tuple[Candidate, ...], llm: RouterLlm) -> Iterator[Router]:
    """Open a router that is an object in this process.

    Raises:
        RouterLoadError: its ``use`` hook failed.
    """
    if (said := call_hook(router, "use", llm)) is not None:
        raise RouterLoadError(f"router {type(router).__name__} could not be loaded: {said}")
    if (said := call_hook(router, "warm_up")) is not None:
        raise RouterLoadError(f"router {type(router).__name__} could not be loaded: {said}")
    yield router


def _open_process_router(
    name: str, place: dict[str, Any], limits: PluginLimits, candidates: tuple[Candidate, ...], llm: RouterLlm
) -> contextlib.AbstractContextManager[Router]:
    from twinbench.plugins.process_router import (
        ProcessRouter,  # as for endpoints: a score that asks no router does without
    )

    models = live_models()
    # A tier of the static track stands for the live pool's default model; a candidate of a live pool is a model.
    names = {
        candidate.id: models.get(candidate.tier, candidate.model)
        if candidate.id == candidate.tier.label
        else candidate.model
        for candidate in candidates
    }
    return ProcessRouter(name, place, candidates, limits, names, llm)


def _make_built_in(spec: RouterSpec) -> Router:
    constructor = BUILT_IN[spec.target]
    try:
        return constructor(**convert_arguments(constructor, spec.arguments))
    except (ArgumentError, ValueError) as error:
        raise UsageError(f"router {spec.text!r}: {error}") from None


def _place_of_built_in(spec: RouterSpec) -> dict[str, Any]:
    """Return the location of a built-in router, as a process that loads it needs it."""
    return {
        "kind": "module",
        "target": BUILT_IN[spec.target].__module__,
        "attribute": BUILT_IN[spec.target].__name__,
        "arguments": dict(spec.arguments),
        "path": [],
        "folder": str(Path.cwd()),
    }


def _locate(spec: RouterSpec, limits: PluginLimits) -> Located:
    """Return a router's location, as its process needs it, and what its decisions depend on."""
    folder = Path.cwd()
    is_file = spec.kind == "file"
    request = {
        "kind": "module" if spec.kind == "trb" else spec.kind,
        "target": str(Path(spec.target).resolve()) if is_file else spec.target,
        "attribute": spec.attribute,
        "arguments": dict(spec.arguments),
        "path": [str(Path(spec.target).resolve().parent if is_file else folder)],
        "folder": str(folder),
    }
    if limits.isolation is not None:
        request = limits.isolation.locate(request)
    found = _run_describe(spec, request, limits)
    place = {
        **request,
        "kind": "trb" if spec.kind == "trb" else found.kind,
        "target": found.target,
        "attribute": found.attribute,
    }
    identity = {
        "kind": place["kind"],
        "target": Path(spec.target).name if is_file else found.target,
        "attribute": found.attribute,
        "arguments": dict(spec.arguments),
        "argument_files": found.arguments,
        "python": found.python,
        "files": found.files,
        "distributions": found.distributions,
    }
    return Located(place, identity, found.kind, found.paths)


def _run_describe(spec: RouterSpec, request: dict[str, Any], limits: PluginLimits) -> RouterDescription:
    """Return the result of ``describe`` in the environment where the router will run.

    Raises:
        UsageError: there is no such router.
    """
    from twinbench.plugins.description import RouterDescription
    from twinbench.plugins.provenance import RouterNotFoundError, describe

    elsewhere = limits.python is not None or limits.isolation is not None
    try:
        return _describe_elsewhere(request, limits) if elsewhere else RouterDescription(**describe(request))
    except RouterNotFoundError as error:
        strict = (
            "; in strict isolation modules come from --plugin-wheels or the image, and from this folder only as a "
            "file, path/to/file.py:Class"
            if limits.isolation is not None and spec.kind in ("module", "trb")
            else ""
        )
        raise UsageError(
            f"router {spec.text!r}: {error}{strict}{_known_routers_hint(spec, elsewhere=elsewhere)}"
        ) from None


def _known_routers_hint(spec: RouterSpec, *, elsewhere: bool) -> str:
    """Return the end of an error message that lists existing routers; empty if the spec names a file or module.

    Args:
        spec: the spec of a router that was not found.
        elsewhere: whether it was searched in another environment, whose installed routers are unknown here.
    """
    from twinbench.plugins.provenance import ENTRY_POINTS

    if spec.kind != "entry-point":
        return ""
    here = () if elsewhere else importlib.metadata.entry_points(group=ENTRY_POINTS).names
    meant = did_you_mean(spec.target, [*BUILT_IN, *here])
    if is_folder(Path(spec.target)):  # such as a project's own, beside which its installed router is named
        meant = f"; {untrained_folder(spec.target)}"
    return f"; built-in routers are {', '.join(BUILT_IN)}; name your own as {FORMS}{meant}"


def _describe_elsewhere(request: dict[str, Any], limits: PluginLimits) -> RouterDescription:
    """Run ``describe`` in the environment that the router will run in.

    Raises:
        RouterNotFoundError: the router is not found there.
        UsageError: ``describe`` cannot be run there.
    """
    from twinbench.plugins.description import RouterNotFoundReply
    from twinbench.plugins.provenance import RouterNotFoundError

    if limits.isolation is not None:
        said = limits.isolation.describe(request, limits)
    else:
        said = _describe_with_python(limits.python or sys.executable, request, limits)
    if isinstance(said, RouterNotFoundReply):
        raise RouterNotFoundError(said.not_found)
    return said


def _describe_with_python(
    python: str, request: dict[str, Any], limits: PluginLimits
) -> RouterDescription | RouterNotFoundReply:
    from twinbench.plugins.description import MOST_DESCRIPTION_BYTES, parse_description
    from twinbench.plugins.runtime import plugin_environment, runtime_folder

    with runtime_folder() as folder, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as complaints:
        try:
            done = subprocess.run(  # noqa: S603 - the user's own interpreter
                [python, str(folder / "runtime" / "describe.py")],
                input=json.dumps(request).encode(),
                stdout=out,
                stderr=complaints,
                env=plugin_environment(folder / "home", limits),
                timeout=_DESCRIBE_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UsageError(f"--python {python}: cannot be run ({error})") from None
        out.seek(0)
        said = out.read(MOST_DESCRIPTION_BYTES + 1)
        complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - _MOST_COMPLAINT_BYTES))
        complaint = complaints.read().decode("utf-8", "replace").strip().splitlines()[-1:]
    try:
        if done.returncode != 0:
            raise ValueError("no output")
        return parse_description(said)
    except ValueError as error:
        why = complaint[0] if complaint else error
        raise UsageError(f"--python {python}: is it Python 3.10 or newer? ({why})") from None


def _built_in_files() -> dict[str, str]:
    """The SHA-256 of the files that built-in routers are made of, by name."""
    found = [_PACKAGE / "routing" / name for name in ("built_in.py", "content.py", "router.py", "tiers.py")]
    found += sorted((_PACKAGE / "routers").glob("*.py"))
    return {f"{path.parent.name}/{path.name}": sha256_installed(path) for path in found}


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _built_in_identity(spec: RouterSpec) -> dict[str, Any]:
    return {
        "built-in": spec.target,
        "arguments": dict(spec.arguments),
        "files": _built_in_files(),
        "python": _python(),
    }

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
from typing import Any

from twinbench.display.wording import did_you_mean
from twinbench.errors import UsageError
from twinbench.fingerprint import fingerprint, sha256_installed, sha256_text
from twinbench.plugins.arguments import ArgumentError, convert_arguments
from twinbench.plugins.description import MOST_DESCRIPTION_BYTES, RouterDescription, RouterNotFound, parse_description
from twinbench.plugins.limits import PluginLimits, RouterLoadError
from twinbench.plugins.provenance import ENTRY_POINTS, RouterNotFoundError, describe
from twinbench.plugins.spec import FORMS, RouterSpec, parse_spec
from twinbench.routing.accepting import NotARouterError, RouterLike, as_router, name_of
from twinbench.routing.asking import call_hook
from twinbench.routing.built_in import BUILT_IN
from twinbench.routing.router import Candidate, Router
from twinbench.routing.router_llm import NoRouterLlm, RouterLlm
from twinbench.storage.manifest_files import live_models

_PACKAGE = Path(__file__).parents[1]
_DESCRIBE_TIMEOUT_S = 60
_MOST_COMPLAINT_BYTES = 2_000
_INTERFACE = (
    *("routing/router.py", "routing/llm.py", "routing/tiers.py", "routing/usage.py"),
    *("plugins/twinrouterbench.py", "plugins/published.py", "plugins/published_text.py"),
    *("plugins/arguments.py", "plugins/constructing.py", "routing/accepting.py"),
)


@dataclass(frozen=True)
class LoadedRouter:
    """A router with its name and the fingerprint of what its decisions depend on."""

    name: str
    fingerprint: str | None
    """The fingerprint; None if it is unknown (an instance, an endpoint), so that results are never cached."""
    _opener: Callable[[tuple[Candidate, ...], RouterLlm], contextlib.AbstractContextManager[Router]]
    identity: Mapping[str, Any] | None = field(default=None, repr=False)
    """What the fingerprint is of."""
    may_ask: bool = True
    """Whether the router may ask an LLM through twinbench: built-in routers do not, endpoints pay for their own calls.
    """

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
        UsageError: nothing is found under that name, the arguments do not fit, or the object is no router.
    """
    if not isinstance(spec, str):
        return _loaded_object(spec)
    limits = _resolve_python(limits or PluginLimits())
    parsed = parse_spec(spec)
    if parsed.kind == "built-in" and limits.watch:
        place = {
            "kind": "module",
            "target": BUILT_IN[parsed.target].__module__,
            "attribute": BUILT_IN[parsed.target].__name__,
            "arguments": dict(parsed.arguments),
            "path": [],
            "folder": str(Path.cwd()),
        }
        return _loaded(
            spec, _built_in_identity(parsed), partial(_open_process_router, spec, place, limits), may_ask=False
        )
    if parsed.kind == "built-in":
        router = _make_built_in(parsed)
        return _loaded(spec, _built_in_identity(parsed), partial(_open_instance, router), may_ask=False)
    if parsed.kind == "endpoint" and limits.isolation is not None:
        raise UsageError(f"router {spec!r} is an HTTP endpoint: --isolation strict has no network to reach it")
    if parsed.kind == "endpoint":
        from twinbench.plugins.endpoint import EndpointRouter  # an HTTP client takes longer to load than a score

        endpoint = EndpointRouter(parsed.target, limits.decision_s)
        return LoadedRouter(spec, None, lambda _, __: endpoint, may_ask=False)
    place, identity = _locate(parsed, limits)
    return _loaded(spec, identity | _conditions(limits), partial(_open_process_router, spec, place, limits))


def _loaded(
    name: str,
    identity: Mapping[str, Any],
    opener: Callable[[tuple[Candidate, ...], RouterLlm], contextlib.AbstractContextManager[Router]],
    *,
    may_ask: bool = True,
) -> LoadedRouter:
    return LoadedRouter(name, fingerprint(identity), opener, identity, may_ask)


def _loaded_object(router: RouterLike) -> LoadedRouter:
    """A router of this process.

    Raises:
        UsageError: it is none.
    """
    try:
        accepted = as_router(router, f"{router!r:.200}")
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


def _locate(spec: RouterSpec, limits: PluginLimits) -> tuple[dict[str, Any], dict[str, Any]]:
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
    elsewhere = limits.python is not None or limits.isolation is not None
    try:
        found = _describe_elsewhere(request, limits) if elsewhere else RouterDescription(**describe(request))
    except RouterNotFoundError as error:
        raise UsageError(f"router {spec.text!r}: {error}{_known_routers_hint(spec, elsewhere=elsewhere)}") from None
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
    return place, identity


def _known_routers_hint(spec: RouterSpec, *, elsewhere: bool) -> str:
    """Return the end of an error message that lists existing routers; empty if the spec names a file or module.

    Args:
        spec: the spec of a router that was not found.
        elsewhere: whether it was searched in another environment, whose installed routers are unknown here.
    """
    if spec.kind != "entry-point":
        return ""
    here = () if elsewhere else importlib.metadata.entry_points(group=ENTRY_POINTS).names
    meant = did_you_mean(spec.target, [*BUILT_IN, *here])
    return f"; built-in routers are {', '.join(BUILT_IN)}; name your own as {FORMS}{meant}"


def _describe_elsewhere(request: dict[str, Any], limits: PluginLimits) -> RouterDescription:
    """Run ``describe`` in the environment that the router will run in.

    Raises:
        RouterNotFoundError: the router is not found there.
        UsageError: ``describe`` cannot be run there.
    """
    if limits.isolation is not None:
        said = limits.isolation.describe(request, limits)
    else:
        said = _describe_with_python(limits.python or sys.executable, request, limits)
    if isinstance(said, RouterNotFound):
        raise RouterNotFoundError(said.not_found)
    return said


def _describe_with_python(
    python: str, request: dict[str, Any], limits: PluginLimits
) -> RouterDescription | RouterNotFound:
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


def _built_in_identity(spec: RouterSpec) -> dict[str, Any]:
    files = {name: sha256_installed(_PACKAGE / "routing" / name) for name in ("built_in.py", "router.py", "tiers.py")}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"built-in": spec.target, "arguments": dict(spec.arguments), "files": files, "python": python}

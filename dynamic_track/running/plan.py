"""The plan of a run: its identity and cases, stored in ``plan.json``.

The identity never changes, and fingerprints are computed from it. The locations of tasks and pool are not part of it.
The cases are those that were chosen first (``planned.chosen_cases`` adds later ones).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dynamic_track.running.folders import PLAN_FILE
from twinbench.errors import ContentError, Problem, UsageError
from twinbench.fingerprint import fingerprint
from twinbench.reading.input_files import read_regular
from twinbench.reading.strict_json import parse_json
from twinbench.reading.validation import find_unstorable
from twinbench.storage.files import atomic_write, make_folder

MOST_TRIALS = 1000
"""Largest number of trials per case, since code that reads an untrusted plan iterates over them."""

_WANTED = {"identity": ("agent", "overrides", "pool", "router", "seed"), "where": ("tasks", "pool")}
_OBJECTS = ("router", "pool", "provider", "agent", "overrides")
_TEXTS = (("router", "spec"), ("pool", "name"), ("pool", "fingerprint"))


@dataclass(frozen=True)
class RunPlan:
    """The plan of a run, validated by ``read_plan``; an unreadable plan is represented by an empty one."""

    identity: Mapping[str, Any]
    """Everything that must be the same when the run is continued."""
    sources: Mapping[str, Any]
    """The locations of tasks and pool, for replays."""
    cases: tuple[str, ...]
    """The ids of the cases that were chosen first."""

    @classmethod
    def make(cls, identity: Mapping[str, Any], where: Mapping[str, Any], cases: Sequence[str]) -> RunPlan:
        """Make a plan, with its identity in the form that reading it back will give: lists for tuples, texts for
        numeric keys.
        """
        return cls(json.loads(json.dumps(identity)), where, tuple(cases))

    @property
    def router(self) -> str:
        """The router's spec."""
        return str(self.identity["router"]["spec"])

    @property
    def router_fingerprint(self) -> str | None:
        """The router's fingerprint, if it has one."""
        found: str | None = self.identity["router"].get("fingerprint")
        return found

    @property
    def pool(self) -> str:
        """The name or file by which the pool is found."""
        return str(self.sources["pool"])

    @property
    def pool_name(self) -> str | None:
        """The pool's name when the run was made."""
        found: str | None = self.identity.get("pool", {}).get("name")
        return found

    @property
    def pool_fingerprint(self) -> str | None:
        """The fingerprint of the pool that the run was made with."""
        found: str | None = self.identity.get("pool", {}).get("fingerprint")
        return found

    @property
    def agent(self) -> Mapping[str, Any]:
        """The agent's settings, as part of the identity."""
        found: Mapping[str, Any] = self.identity.get("agent", {})
        return found

    @property
    def scaffold(self) -> str:
        """The name of the agent."""
        return str(self.agent.get("scaffold", "agent"))

    @property
    def overrides(self) -> Mapping[str, Any]:
        """Settings that differ from the defaults: ``network``, ``on_router_error``, ``image``."""
        found: Mapping[str, Any] = self.identity["overrides"]
        return found

    @property
    def grader(self) -> Mapping[str, Any]:
        """The versions of the grading software; empty if there are no verdicts."""
        found = self.identity.get("grader")
        return found if isinstance(found, dict) else {}

    @property
    def seed(self) -> Any:
        """The seed of session keys, and of the simulated models' random outcomes."""
        return self.identity["seed"]

    @property
    def trials(self) -> int:
        """How often each case is run."""
        return int(self.identity.get("trials", 1))

    @property
    def is_imported(self) -> bool:
        """Whether the run was imported from files of an agent that ran elsewhere."""
        return self.identity.get("imported") is not None

    @property
    def is_simulated(self) -> bool:
        """Whether the run is a rehearsal, with simulated models."""
        return "simulation" in self.identity.get("provider", {})

    @property
    def identity_without_router(self) -> dict[str, Any]:
        """The identity without the router: what runs in one table must have in common."""
        return {name: part for name, part in self.identity.items() if name != "router"}

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of identity and cases, which each journal line of kind ``sitting`` contains."""
        return self.fingerprint_with(self.cases)

    def fingerprint_with(self, cases: Sequence[str]) -> str:
        """Return the fingerprint that the plan would have with other cases."""
        return fingerprint({"identity": self.identity, "cases": list(cases)})

    def differences(self, other: RunPlan) -> list[str]:
        """Return the names of what differs between two identities."""
        names = dict.fromkeys([*self.identity, *other.identity])
        return [name for name in names if _text(self, name) != _text(other, name)]

    def write(self, folder: Path) -> None:
        """Write the plan into a run directory, which is created if it is missing."""
        make_folder(folder)
        with atomic_write(folder / PLAN_FILE) as file:
            content = {"identity": self.identity, "where": self.sources, "cases": list(self.cases)}
            file.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def read_plan(folder: Path) -> RunPlan:
    """Read the plan of a run directory.

    Raises:
        UsageError: it is not a run directory.
        ContentError: the plan is damaged.
    """
    path = folder / PLAN_FILE
    try:
        content = parse_json(read_regular(path).decode())
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder} is not a run directory: it has no {PLAN_FILE}") from None
    except OSError as error:
        raise ContentError([Problem(str(path), None, None, error.strerror or str(error))]) from None
    except ValueError as error:
        raise ContentError([Problem(str(path), None, None, f"not JSON: {error}")]) from None
    if (found := _problem(content)) is not None:
        raise ContentError([Problem(str(path), None, *found)])
    return RunPlan(content["identity"], content["where"], tuple(content["cases"]))


def _problem(content: Any) -> tuple[str, str] | None:
    """Return the first invalid field and what is wrong with it; None if there is none."""
    if not isinstance(content, dict) or not isinstance(content.get("identity"), dict):
        return "identity", "is missing"
    if (found := find_unstorable(content)) is not None:
        return found
    for part, names in _WANTED.items():
        there = content.get(part)
        missing = [name for name in names if not isinstance(there, dict) or name not in there]
        if missing:
            return f"{part}.{missing[0]}", "is missing"
    identity = content["identity"]
    for name in _OBJECTS:
        if not isinstance(identity.get(name, {}), dict):
            return f"identity.{name}", "must be an object"
    for part, name in _TEXTS:
        if not isinstance(identity[part].get(name), str):
            return f"identity.{part}.{name}", "must be a string"
    for name, needed in (("tasks", identity.get("imported") is None), ("pool", True), ("dataset", False)):
        told = content["where"].get(name)
        if not isinstance(told, str) and (needed or told is not None):
            return f"where.{name}", "must be a string"
        if "\0" in (told or ""):
            return f"where.{name}", "must be a string without NUL characters"
    trials = identity.get("trials", 1)
    if type(trials) is not int or not 1 <= trials <= MOST_TRIALS:
        return "identity.trials", f"must be a whole number from 1 to {MOST_TRIALS:,}"
    if not _are_case_ids(content.get("cases")):
        return "cases", "must be the ids of the chosen cases, each once"
    return None


def _are_case_ids(value: Any) -> bool:
    return (
        isinstance(value, list)
        and all(isinstance(each, str) and each for each in value)
        and len({*value}) == len(value)
    )


def _text(plan: RunPlan, name: str) -> str:
    return json.dumps(plan.identity.get(name), sort_keys=True)

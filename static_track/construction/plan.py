"""The plan of a build: everything its labels depend on; stored in ``plan.json`` and in recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from static_track.construction.ladder import Ladder
from static_track.construction.search import SearchRules
from static_track.construction.settings import MOST_REPEATS, BankSection
from static_track.construction.step_rules import parse_step_rule
from twinbench.construction.execution import ConstructionTask
from twinbench.display.wording import shorten
from twinbench.errors import ContentError, Problem, UsageError
from twinbench.fingerprint import fingerprint
from twinbench.reading.input_files import InputError, read_regular
from twinbench.reading.strict_json import parse_json
from twinbench.reading.validation import describe_validation_error, field_path
from twinbench.storage.files import atomic_write

PLAN_FILE = "plan.json"

_MAY_CHANGE = "repeats"
"""The setting that may change when a build continues: more repeats only leave out more tasks."""
_MOST_SHOWN = 120


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SearchIdentity(_Model):
    """Settings of the search for labels."""

    step_rule: Annotated[str, AfterValidator(lambda name: parse_step_rule(name).name)]
    cascade: Annotated[int, Field(ge=1)]
    repeats: Annotated[int, Field(ge=0, le=MOST_REPEATS)]


class ExecutorIdentity(_Model):
    """The executor of tasks."""

    kind: str
    identity: dict[str, Any]
    """The identity that the executor reports."""


class BuildIdentity(_Model):
    """Everything that labels depend on."""

    rules: Literal[1] = 1
    """Version of the search, which may change labels for the same executions."""
    search: SearchIdentity
    proposer: dict[str, Any]
    tiers: dict[str, list[str]]
    """The candidates that are tried, by tier."""
    tasks: list[tuple[str, str, str]]
    """Id, workload and group of each task."""
    executor: ExecutorIdentity

    @property
    def fingerprint(self) -> str:
        """The SHA-256 (hex) of the identity."""
        return fingerprint(self.model_dump(mode="json"))

    def construction_tasks(self) -> list[ConstructionTask]:
        """Return the tasks, in the order in which they are searched."""
        return [ConstructionTask(*each) for each in self.tasks]

    def ladder(self) -> Ladder:
        """Return the tiers that the search tries.

        Raises:
            UsageError: the tiers do not allow a search.
        """
        return Ladder.from_tiers(self.tiers, self.search.cascade)

    def search_rules(self) -> SearchRules:
        """Return the rules that decide which downgrades are accepted."""
        return SearchRules(parse_step_rule(self.search.step_rule), self.search.repeats)

    def includes_tasks_of(self, other: BuildIdentity) -> bool:
        """Return whether the tasks of another identity are all among these."""
        return {*other.tasks} <= {*self.tasks}

    def differences(self, other: BuildIdentity) -> list[str]:
        """Return what prevents a build from being continued as another, each as a part of a sentence.

        Tasks may be added, since each task is searched by itself.
        """
        found = []
        for name, was, now in (
            *_pairs(self.search, other.search, ""),
            *_pairs(self, other, "search", "executor", *(("tasks",) if other.includes_tasks_of(self) else ())),
            *_pairs(self.executor, other.executor, "identity", prefix="executor."),
            *_name_differences(self.executor.identity, other.executor.identity),
        ):
            if name not in (_MAY_CHANGE,) and was != now:
                found.append(f"{name} was {_short_json(was)}, is now {_short_json(now)}")
        return found


class BuildPlan(_Model):
    """The plan of a build, with the description of its bank."""

    identity: BuildIdentity
    bank: BankSection
    review_share: float
    """Default share of the rows that may be lowered to draw for review."""

    def write(self, folder: Path) -> None:
        """Write the plan into a build's directory.

        Raises:
            TwinbenchError: it cannot be written.
        """
        with atomic_write(folder / PLAN_FILE) as file:
            file.write_text(json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_plan(folder: Path) -> BuildPlan:
    """Read the plan of a build's directory.

    Raises:
        UsageError: the directory has no build.
        ContentError: the plan is damaged.
    """
    path = folder / PLAN_FILE
    try:
        return BuildPlan.model_validate_json(json.dumps(parse_json(read_regular(path).decode())))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder} is not a build's directory: it has no {PLAN_FILE}") from None
    except ValidationError as error:
        problems = [
            Problem(str(path), None, field_path(each["loc"]), describe_validation_error(each))
            for each in error.errors()
        ]
        raise ContentError(problems) from None
    except (OSError, InputError, ValueError) as error:
        raise ContentError([Problem(str(path), None, None, str(error))]) from None


def _pairs(was: BaseModel, now: BaseModel, *but: str, prefix: str = "") -> list[tuple[str, Any, Any]]:
    names = [name for name in type(was).model_fields if name not in but]
    return [(prefix + name, getattr(was, name), getattr(now, name)) for name in names]


def _name_differences(was: dict[str, Any], now: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(f"executor.{name}", was.get(name), now.get(name)) for name in dict.fromkeys([*was, *now])]


def _short_json(value: Any) -> str:
    return shorten(json.dumps(value, default=str, ensure_ascii=False), _MOST_SHOWN)

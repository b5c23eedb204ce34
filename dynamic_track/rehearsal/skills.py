"""The declared skills of simulated models."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dynamic_track.rehearsal.edits import EditKind, Subject
from twinbench.errors import ContentError, Problem, UsageError
from twinbench.fingerprint import fingerprint
from twinbench.reading.validation import describe_validation_error, field_path
from twinbench.routing.tiers import Tier

Probability = Annotated[float, Field(ge=0, le=1)]
Difficulty = Literal["easy", "medium", "hard"]

DEFAULT_SKILLS = "spread"
_FOLDER = Path(__file__).parent / "skill_tables"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Chances(_Model):
    """Probabilities by a task's difficulty."""

    easy: Probability
    medium: Probability
    hard: Probability

    def at_difficulty(self, difficulty: Difficulty) -> float:
        """Return the probability at one difficulty."""
        found: float = getattr(self, difficulty)
        return found


class SolveChances(_Model):
    """The probabilities of the right edit, by a task's subject and difficulty."""

    text: Chances
    numbers: Chances
    state: Chances

    def chance(self, subject: Subject, difficulty: Difficulty) -> float:
        """Return the probability for one kind of task."""
        found: Chances = getattr(self, subject)
        return found.at_difficulty(difficulty)


class Skill(_Model):
    """How a simulated model works; each probability applies to one answer. docs/rehearsal.md explains each field."""

    finds: Probability
    skims: Probability
    solves: SolveChances
    misses: dict[EditKind, Annotated[float, Field(ge=0)]]
    reproduces: Probability
    tests: Probability
    repairs: Probability
    doubts: Chances
    spoils: Probability
    circles: Probability
    gives_up: Probability
    slips: Probability
    opens_at_once: Annotated[int, Field(ge=1)]
    thinking_tokens: Annotated[int, Field(ge=0)]
    """Tokens of hidden reasoning per answer, on average; billed as output."""
    tokens_per_second: Annotated[float, Field(gt=0)]
    """How fast it answers, in the rehearsal's own time."""

    def weight(self, kind: EditKind) -> float:
        """Return the relative weight of edits of this kind among those that are not right."""
        return self.misses.get(kind, 0.0)


class SkillTable(_Model):
    """The skill of each tier's candidates."""

    about: Annotated[str, Field(min_length=1)]
    """The purpose and the origin of the table, in a sentence or two."""
    low: Skill
    mid: Skill
    mid_high: Skill
    high: Skill

    def for_tier(self, tier: Tier) -> Skill:
        """Return the skill of a tier."""
        found: Skill = getattr(self, tier.label)
        return found

    @property
    def fingerprint(self) -> str:
        """The SHA-256 (hex) of everything in the table that a rehearsal depends on."""
        return fingerprint(self.model_dump(exclude={"about"}))


def skill_names() -> list[str]:
    """Return the names of the tables that come with twinbench."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


@cache
def read_skill_table(name: str = DEFAULT_SKILLS) -> SkillTable:
    """Read a table that comes with twinbench, by its name, or a user's own table, by the path of a TOML file.

    Raises:
        UsageError: there is no such table.
        ContentError: the file is not a valid table of skills; every problem is named.
    """
    path = _FOLDER / f"{name}.toml" if name in skill_names() else Path(name)
    if path.suffix != ".toml":
        raise UsageError(f"--skills {name}: give one of {', '.join(skill_names())}, or the path of a .toml file")
    try:
        return SkillTable.model_validate(tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise UsageError(f"--skills {name}: there is no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ContentError([Problem(str(path), None, None, str(error))]) from None
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        raise ContentError(
            [
                Problem(str(path), None, field_path(each["loc"]) or None, describe_validation_error(each))
                for each in wrong
            ]
        ) from None

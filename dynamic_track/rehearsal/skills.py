"""The declared skills of simulated models."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dynamic_track.rehearsal.edits import EditKind
from twinbench.fingerprint import fingerprint
from twinbench.tiers import Tier

Probability = Annotated[float, Field(ge=0, le=1)]
Difficulty = Literal["easy", "medium", "hard"]

_FILE = Path(__file__).parent / "skills.toml"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Skill(_Model):
    """How a simulated model works; each probability is of one answer. ``skills.toml`` says what each field is."""

    finds: Probability
    skims: Probability
    solves: dict[Difficulty, Probability]
    misses: dict[EditKind, Annotated[float, Field(ge=0)]]
    reproduces: Probability
    tests: Probability
    repairs: Probability
    doubts: dict[Difficulty, Probability]
    spoils: Probability
    circles: Probability
    gives_up: Probability
    slips: Probability
    opens_at_once: Annotated[int, Field(ge=1)]
    thinking_tokens: Annotated[int, Field(ge=0)]
    """Hidden reasoning of an answer, on average; billed as output."""
    tokens_per_second: Annotated[float, Field(gt=0)]
    """How fast it answers, in the rehearsal's own time."""

    def weight(self, kind: EditKind) -> float:
        """In which proportion it makes edits of this kind, of those that are not right."""
        return self.misses.get(kind, 0.0)


class SkillTable(_Model):
    """The skill of each tier's candidates."""

    low: Skill
    mid: Skill
    mid_high: Skill
    high: Skill

    def of(self, tier: Tier) -> Skill:
        """A tier's."""
        found: Skill = getattr(self, tier.label)
        return found

    @property
    def fingerprint(self) -> str:
        """The SHA-256 (hex) of the table."""
        return fingerprint(self.model_dump())


@cache
def skill_table() -> SkillTable:
    """The table that ships with twinbench."""
    return SkillTable.model_validate(tomllib.loads(_FILE.read_text("utf-8")))

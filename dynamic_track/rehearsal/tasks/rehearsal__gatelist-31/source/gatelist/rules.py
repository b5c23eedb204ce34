"""Rules, and how they are decided between."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum

from gatelist.pattern import Pattern

ANY = "*"


class Effect(Enum):
    """What a rule says about the requests that it is about."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True)
class Rule:
    """An effect for a subject, which is a user, a group or ``*``, with an action or ``*``, on resources."""

    effect: Effect
    subject: str
    action: str
    pattern: Pattern

    def __str__(self) -> str:
        return f"{self.effect.value} {self.subject} {self.action} {self.pattern.text}"

    def is_about(self, subjects: Collection[str], action: str, resource: str) -> bool:
        """Whether the rule has something to say; the subjects are the user and its groups."""
        return (
            (self.subject == ANY or self.subject in subjects)
            and self.action in (ANY, action)
            and self.pattern.matches(resource)
        )


@dataclass(frozen=True)
class Decision:
    """Whether a request is allowed, and the rule that says so; None if there is none about it."""

    allowed: bool
    rule: Rule | None


def decide(rules: Iterable[Rule]) -> Decision:
    """The decision between rules that are all about a request: the most specific one counts."""
    rule = max(rules, key=lambda rule: rule.pattern.specificity, default=None)
    return Decision(rule is not None and rule.effect is Effect.ALLOW, rule)

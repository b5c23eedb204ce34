"""Policies from text."""

from gatelist.pattern import Pattern
from gatelist.policy import Policy
from gatelist.rules import Effect, Rule


class PolicyError(ValueError):
    """A text that is no policy; the message names the line."""


def read_policy(text: str) -> Policy:
    """The policy in a text of lines ``group NAME: MEMBERS`` and ``allow|deny SUBJECT ACTION PATTERN``.

    Raises:
        PolicyError: a line is neither of both.
    """
    policy = Policy()
    for number, raw in enumerate(text.splitlines(), start=1):
        words = raw.partition("#")[0].split()
        if not words:
            continue
        try:
            _read_line(policy, words)
        except ValueError as error:
            raise PolicyError(f"line {number}: {error}") from None
    return policy


def _read_line(policy: Policy, words: list[str]) -> None:
    match words:
        case ["group", name, *members] if name.endswith(":"):
            policy.group(name[:-1], *members)
        case ["allow" | "deny" as effect, subject, action, pattern]:
            policy.add(Rule(Effect(effect), subject, action, Pattern(pattern)))
        case _:
            raise ValueError(f"neither a group nor a rule: {' '.join(words)}")

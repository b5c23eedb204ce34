"""Rules and groups together."""

from gatelist.directory import Directory
from gatelist.pattern import Pattern
from gatelist.rules import Decision, Effect, Rule, decide


class Policy:
    """Answers requests; rules and members may be added at any time."""

    def __init__(self) -> None:
        self.directory = Directory()
        self._rules: list[Rule] = []

    def __repr__(self) -> str:
        return f"Policy({len(self._rules)} rules)"

    @property
    def rules(self) -> list[Rule]:
        """The rules in the order in which they were added."""
        return list(self._rules)

    def group(self, name: str, *members: str) -> None:
        """Makes users or other groups members of a group."""
        self.directory.add(name, members)

    def allow(self, subject: str, action: str, pattern: str) -> None:
        """Adds a rule that allows."""
        self.add(Rule(Effect.ALLOW, subject, action, Pattern(pattern)))

    def deny(self, subject: str, action: str, pattern: str) -> None:
        """Adds a rule that denies."""
        self.add(Rule(Effect.DENY, subject, action, Pattern(pattern)))

    def add(self, rule: Rule) -> None:
        """Adds a rule; the same one twice counts once."""
        if rule not in self._rules:
            self._rules.append(rule)

    def may(self, user: str, action: str, resource: str) -> bool:
        """Whether a user is allowed to do something with a resource."""
        return self.explain(user, action, resource).allowed

    def explain(self, user: str, action: str, resource: str) -> Decision:
        """The decision about a request, with the rule behind it."""
        subjects = {user, *self.directory.groups_of(user)}
        return decide(rule for rule in self._rules if rule.is_about(subjects, action, resource))

    def allowed_users(self, users: list[str], action: str, resource: str) -> list[str]:
        """Those of the users who are allowed to do something, in their order."""
        return [user for user in users if self.may(user, action, resource)]

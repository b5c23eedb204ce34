"""Who may do what: rules for users and groups, on resources in a tree."""

from gatelist.directory import Directory
from gatelist.pattern import Pattern
from gatelist.policy import Policy
from gatelist.reading import PolicyError, read_policy
from gatelist.rules import Decision, Effect, Rule

__all__ = ["Decision", "Directory", "Effect", "Pattern", "Policy", "PolicyError", "Rule", "read_policy"]

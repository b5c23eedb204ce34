"""Finds the handler of a web request by its path."""

from pathlatch.errors import MethodNotAllowed, NotFound, PatternError
from pathlatch.pattern import Pattern
from pathlatch.router import Found, Route, Router

__all__ = ["Found", "MethodNotAllowed", "NotFound", "Pattern", "PatternError", "Route", "Router"]

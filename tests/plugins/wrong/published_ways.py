"""Published routers that are wrong, each in one way."""
# mypy: ignore-errors

from __future__ import annotations

from swerouter.router import RouterDecision


class Late:
    async def select(self, ctx):
        return RouterDecision(ctx.available_models[0])


class Text:
    def select(self, ctx):
        return "gpt-4o"


class Unknown:
    def select(self, ctx):
        return RouterDecision(["a"])


class Needs(Text):
    def __init__(self, path):
        self.path = path


def decides(ctx):
    return RouterDecision(ctx.available_models[0])


class Ours:
    def route(self, call):
        return "low"

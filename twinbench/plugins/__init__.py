"""Finding, loading and identifying routers by the spec that a user gives."""

from twinbench.plugins.loading import LoadedRouter, load_router

__all__ = ["LoadedRouter", "load_router"]

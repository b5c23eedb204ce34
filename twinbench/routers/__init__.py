"""Routers worth beating, that ship with twinbench: rules that agents' users run, and routers that learn from a bank."""

"""Routers: what they are, see and answer; the routers that are built in."""

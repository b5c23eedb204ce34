"""Routers that are not ours: found by a spec, run in a process of their own, known by a fingerprint."""

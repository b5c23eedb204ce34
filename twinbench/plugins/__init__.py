"""User routers: found by a spec, run in a process of their own, identified by a fingerprint."""

"""The live track: routers that pick a model before every call of a running agent.

Empty so far: it begins with containers and verdicts. What it shares with the static track (pools, prices, Session,
Call, Router) lives in ``twinbench``.
"""

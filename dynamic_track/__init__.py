"""The live track: routers that pick a model for every call of a running agent.

What it shares with the static track (pools, prices, Session, Call, Router) is in ``twinbench``.
"""

"""Routed calls: the only way a model is called, and what stands behind it: journal, budget, bills."""

"""Routed calls: the only way a model is called, with journal, budget and billing."""

"""Finds what cannot be true in a run, and what its cases must not have done."""

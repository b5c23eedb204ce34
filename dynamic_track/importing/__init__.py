"""Runs made elsewhere: their costs, recordings of them, and the replay of those."""

"""Runs that were made elsewhere: their costs, their import as recordings, and the replay of those."""

"""Runs: agents at work on cases, side by side, continued, replayed."""

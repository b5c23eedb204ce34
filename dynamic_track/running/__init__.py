"""Runs: agents work on cases in parallel; runs are continued, replayed, merged and graded again."""

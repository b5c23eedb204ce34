"""Tables of outcomes: which models solved which tasks at what cost, and what routing between them could achieve.

This package does not depend on either track; a table is neither a bank of labelled prefixes nor a run. Runs of the live
track are imported as rows, which ``dynamic_track.exporting.outcomes`` makes.
"""

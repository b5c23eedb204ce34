"""Tables of outcomes: which models solved which tasks at what cost, and what that says of routing before it is tried.

Both tracks may use them and they use neither: a table is no set of labelled prefixes and no run. A directory of the
live track comes in as rows, which ``dynamic_track.exporting.outcomes`` makes.
"""

"""The executor ``single-turn``: tasks of one call, or a small repair in a few calls, with a check of the answer."""

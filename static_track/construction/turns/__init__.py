"""The executor ``single-turn``: one call a task, or a small repair in a few, and a check of the answer."""

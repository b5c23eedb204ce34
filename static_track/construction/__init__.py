"""Banks by execution: the search for labels over whatever executes tasks, and what comes of it."""

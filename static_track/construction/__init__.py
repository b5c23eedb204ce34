"""Banks by execution: the search for labels over whatever executes tasks, its directory, what is published of it."""

"""Build banks by executing tasks: the search for labels, the build's directory, and what is published."""

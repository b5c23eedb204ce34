"""Tasks: what they are, where they come from, which are chosen, and their images."""

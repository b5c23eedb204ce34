"""Tasks: their content, their sources, their selection, and their images."""

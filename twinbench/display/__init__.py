"""Output for people: wording, tables, progress and HTML pages."""

"""Banks: rows imported from files, kept as one DuckDB file each, and split, pulled and exported."""

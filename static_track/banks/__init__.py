"""Banks: rows from files, kept as one DuckDB file each, split, pulled and exported."""

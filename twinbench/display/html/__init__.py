"""Pages of one file that open offline: what both tracks' reports are made with."""

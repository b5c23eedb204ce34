"""Files that others wrote: read once, strictly, and refused by line and field."""

"""Grading: verdicts on patches, by SWE-bench's own grading code."""

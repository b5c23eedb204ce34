"""Verdicts on patches, by SWE-bench's own grading."""

"""Analysis of scores: explanations, differences, curves, figures, reports."""

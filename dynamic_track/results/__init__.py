"""Results of runs: bills, scores, comparisons, reports."""

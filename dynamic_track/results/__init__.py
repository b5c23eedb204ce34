"""What runs are worth: bills, scores, comparisons, pages."""

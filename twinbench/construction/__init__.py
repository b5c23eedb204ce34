"""The interfaces between the search for labels and what executes tasks or proposes tiers for it."""

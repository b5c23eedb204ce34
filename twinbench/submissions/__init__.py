"""What both tracks share of submissions: manifest, reports, commitments, and archives read with bounds."""

"""The names of what a router is scored by."""

from __future__ import annotations

SCORES = ("row_pass", "row_exact", "traj_pass", "cost_save", "combined")
"""The four metrics of the headline, and their mean."""

PATTERNS = ("exact", "up_one", "jump_to_high", "other", "below_target", "error")
"""The error pattern (Table A14), the first that applies."""

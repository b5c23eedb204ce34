"""The names of the metrics."""

from __future__ import annotations

SCORES = ("row_pass", "row_exact", "traj_pass", "cost_save", "combined")
"""The four headline metrics, and their mean."""

PATTERNS = ("exact", "up_one", "jump_to_high", "other", "below_target", "error")
"""Error patterns (Table A14); a row has the first that applies."""

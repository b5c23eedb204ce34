"""Results that were published elsewhere, as data with their source."""

from __future__ import annotations

import json
from typing import Any

from twinbench.storage import resources


def published_results() -> dict[str, Any]:
    """Return the paper's static and live tables, and the counts of its bank."""
    path = resources.published_dir() / "released-v1.json"
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content

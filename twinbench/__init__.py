"""twinbench: the reference harness for LLM routing in agents."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twinbench.api import import_bank as import_bank
    from twinbench.api import open_bank as open_bank
    from twinbench.api import score as score
    from twinbench.llm import Llm as Llm
    from twinbench.llm import LlmError as LlmError
    from twinbench.llm import Reply as Reply
    from twinbench.router import Call as Call
    from twinbench.router import Candidate as Candidate
    from twinbench.router import Decision as Decision
    from twinbench.router import Router as Router
    from twinbench.tiers import Tier as Tier

__version__ = "0.1.0"

# Loaded when first used: ``import twinbench as tb`` costs nothing.
_LAZY = {
    "Call": "twinbench.router",
    "Candidate": "twinbench.router",
    "Decision": "twinbench.router",
    "Llm": "twinbench.llm",
    "LlmError": "twinbench.llm",
    "Reply": "twinbench.llm",
    "Router": "twinbench.router",
    "Tier": "twinbench.tiers",
    "import_bank": "twinbench.api",
    "open_bank": "twinbench.api",
    "score": "twinbench.api",
}

__all__ = [*_LAZY, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)

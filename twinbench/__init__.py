"""twinbench: the reference harness for LLM routing in agents."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dynamic_track.running.preparing import RunRequest as RunRequest
    from dynamic_track.tasks.selection import TaskChoice as TaskChoice
    from static_track.banks.bank import Bank as Bank
    from twinbench.api.leaderboard import add_to_leaderboard as add_to_leaderboard
    from twinbench.api.leaderboard import build_leaderboard as build_leaderboard
    from twinbench.api.leaderboard import check_leaderboard as check_leaderboard
    from twinbench.api.leaderboard import withdraw_from_leaderboard as withdraw_from_leaderboard
    from twinbench.api.live import audit as audit
    from twinbench.api.live import compare_runs as compare_runs
    from twinbench.api.live import grade as grade
    from twinbench.api.live import grade_run as grade_run
    from twinbench.api.live import rehearse as rehearse
    from twinbench.api.live import replay as replay
    from twinbench.api.live import run as run
    from twinbench.api.live import score_run as score_run
    from twinbench.api.outcomes import headroom as headroom
    from twinbench.api.outcomes import import_outcomes as import_outcomes
    from twinbench.api.outcomes import open_outcomes as open_outcomes
    from twinbench.api.outcomes import outcomes_power as outcomes_power
    from twinbench.api.packing import pack_submission as pack_submission
    from twinbench.api.static import build_bank as build_bank
    from twinbench.api.static import check_bank as check_bank
    from twinbench.api.static import compare as compare
    from twinbench.api.static import curve as curve
    from twinbench.api.static import difference as difference
    from twinbench.api.static import explain as explain
    from twinbench.api.static import import_bank as import_bank
    from twinbench.api.static import open_bank as open_bank
    from twinbench.api.static import score as score
    from twinbench.api.static import score_many as score_many
    from twinbench.api.training import crossval as crossval
    from twinbench.api.training import train as train
    from twinbench.api.training import tune as tune
    from twinbench.api.verifying import verify_submission as verify_submission
    from twinbench.executing.ray_cluster import RayCluster as RayCluster
    from twinbench.plugins.limits import PluginLimits as PluginLimits
    from twinbench.plugins.training import FitLimits as FitLimits
    from twinbench.routing.llm import Llm as Llm
    from twinbench.routing.llm import LlmError as LlmError
    from twinbench.routing.llm import Reply as Reply
    from twinbench.routing.router import Call as Call
    from twinbench.routing.router import Candidate as Candidate
    from twinbench.routing.router import Decision as Decision
    from twinbench.routing.router import Router as Router
    from twinbench.routing.tiers import Tier as Tier
    from twinbench.routing.training import Trajectory as Trajectory
    from twinbench.statistics import Resampling as Resampling

__version__ = "0.1.0"

# Loaded on first use, so that ``import twinbench as tb`` is fast.
_LAZY = {
    "Bank": "static_track.banks.bank",
    "Call": "twinbench.routing.router",
    "Candidate": "twinbench.routing.router",
    "Decision": "twinbench.routing.router",
    "FitLimits": "twinbench.plugins.training",
    "Llm": "twinbench.routing.llm",
    "LlmError": "twinbench.routing.llm",
    "PluginLimits": "twinbench.plugins.limits",
    "RayCluster": "twinbench.executing.ray_cluster",
    "Reply": "twinbench.routing.llm",
    "Resampling": "twinbench.statistics",
    "Router": "twinbench.routing.router",
    "RunRequest": "dynamic_track.running.preparing",
    "TaskChoice": "dynamic_track.tasks.selection",
    "Tier": "twinbench.routing.tiers",
    "Trajectory": "twinbench.routing.training",
    "add_to_leaderboard": "twinbench.api.leaderboard",
    "audit": "twinbench.api.live",
    "build_bank": "twinbench.api.static",
    "build_leaderboard": "twinbench.api.leaderboard",
    "check_bank": "twinbench.api.static",
    "check_leaderboard": "twinbench.api.leaderboard",
    "compare": "twinbench.api.static",
    "compare_runs": "twinbench.api.live",
    "crossval": "twinbench.api.training",
    "tune": "twinbench.api.training",
    "curve": "twinbench.api.static",
    "difference": "twinbench.api.static",
    "explain": "twinbench.api.static",
    "grade": "twinbench.api.live",
    "grade_run": "twinbench.api.live",
    "headroom": "twinbench.api.outcomes",
    "import_bank": "twinbench.api.static",
    "import_outcomes": "twinbench.api.outcomes",
    "open_bank": "twinbench.api.static",
    "open_outcomes": "twinbench.api.outcomes",
    "outcomes_power": "twinbench.api.outcomes",
    "pack_submission": "twinbench.api.packing",
    "rehearse": "twinbench.api.live",
    "replay": "twinbench.api.live",
    "run": "twinbench.api.live",
    "score": "twinbench.api.static",
    "score_many": "twinbench.api.static",
    "score_run": "twinbench.api.live",
    "train": "twinbench.api.training",
    "verify_submission": "twinbench.api.verifying",
    "withdraw_from_leaderboard": "twinbench.api.leaderboard",
}

__all__ = [*_LAZY, "__version__"]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)

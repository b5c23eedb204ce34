"""``router tune``: every setting scores as it does by itself, and the best by the criterion is chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

import twinbench as tb
from tests.banks import import_rows
from tests.cli.commands import twinbench
from tests.plugins.hosting import limits
from tests.twinbench.planting import plant
from twinbench.errors import UsageError
from twinbench.storage.store import STORE_VARIABLE, Store


@pytest.fixture
def banked(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv(STORE_VARIABLE, str(store.root))
    import_rows(plant(7_311, 120).rows, store)
    return store


def test_layers_that_are_tried_at_once_score_as_each_by_itself(banked: Store) -> None:
    of_layer: dict[str, list[object]] = {"layer": ["threshold", "weighted"], "tau": [0.2, 0.6], "weight": [0.8]}
    found = tb.tune("knn", "bank", values=of_layer, folds=2, plugins=limits())
    assert len(found.tried) == 4
    each = tb.crossval(
        ["knn?layer=threshold&tau=0.2&weight=0.8", "knn?layer=weighted&tau=0.6&weight=0.8"],
        "bank",
        folds=2,
        resampling=None,
        plugins=limits(),
    )
    by_itself = {entry.router: (entry.score.scores, entry.score.cost_usd) for entry in each.entries}
    for tried in found.tried:
        if tried.spec not in by_itself:
            continue
        scores, cost_usd = by_itself[tried.spec]
        assert tried.scores == scores
        failed = round((tried.bill_usd - cost_usd) / found.penalty_usd)
        assert tried.bill_usd == pytest.approx(cost_usd + found.penalty_usd * failed)
        assert (failed == 0) == (scores["traj_pass"] == 100)
    assert found.chosen is not None
    assert found.chosen.scores["combined"] == max(tried.scores["combined"] or 0 for tried in found.tried)


def test_the_criterion_and_the_wanted_share_decide(banked: Store, tmp_path: Path) -> None:
    tune = ("router", "tune", "cascade", "--bank", "bank", "--set", "start=low,high", "--set", "up=0,1", "--json")
    cheap = twinbench(*tune, "--by", "cost-save").succeeded().json
    assert len(cheap["tried"]) == 4
    assert cheap["crossval"] is None
    by_itself = tb.score([tried["spec"] for tried in cheap["tried"]], "bank", resampling=None, plugins=limits())
    assert [entry.score.scores for entry in by_itself.entries[:4]] == [tried["scores"] for tried in cheap["tried"]]
    safe = twinbench(*tune, "--by", "cost-save", "--traj-pass", "100").succeeded().json
    assert safe["chosen"]["settings"]["start"] == "high"
    assert safe["chosen"]["scores"]["traj_pass"] == 100
    nothing = twinbench("router", "tune", "always-low", "--bank", "bank")
    assert nothing.code == 2
    assert "declares no settings to try" in nothing.err
    assert twinbench("router", "tune", "knn", "--bank", "bank", "--set", "tau").code == 2
    with pytest.raises(UsageError, match="takes no argument 'nothing'"):
        tb.tune("cascade", "bank", values={"nothing": [1]}, plugins=limits())
    worst = twinbench(*tune[:5], "--set", "start=low", "--set", "up=0", "--traj-pass", "100")
    assert worst.code == 1
    assert "no setting of cascade reaches that" in worst.err
    assert "the highest TrajPass is" in worst.text


def test_why_a_setting_failed_is_said(banked: Store, tmp_path: Path) -> None:
    path = tmp_path / "picky.py"
    path.write_text(PICKY)
    ran = twinbench("router", "tune", f"{path}:Picky", "--bank", "bank", "--set", "wants=0,1,2", "--folds", "2")
    assert ran.code == 0
    assert (
        f"warning: {path}:Picky?wants=1 and 1 more failed: route raised LookupError: not for me (picky.py, line 8)"
        in ran.err
    )
    found = tb.tune(f"{path}:Picky", "bank", values={"wants": [0, 1]}, plugins=limits())
    assert [each.first_error for each in found.tried] == [
        None,
        "route raised LookupError: not for me (picky.py, line 8)",
    ]


PICKY = """
class Picky:
    def __init__(self, wants: int = 0):
        self.wants = wants

    def route(self, call):
        if self.wants:
            raise LookupError("not for me")
        return call.candidates[0]
"""

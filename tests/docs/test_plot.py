"""The plot of README.md is what the command that it names draws."""

from __future__ import annotations

import pytest

from docs.make_plot import PLOT, plot_text


@pytest.mark.acceptance
@pytest.mark.slow
def test_the_plot_is_what_the_command_draws() -> None:
    assert plot_text() == PLOT.read_text("utf-8")

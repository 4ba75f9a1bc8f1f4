"""The figures of a dataset, one module each; every `draw` takes a board and gives a drawing."""

from collections.abc import Callable, Mapping

from sidekick.leaderboard.figures import (
    aurc_vs_gmacs,
    deferral,
    deltas,
    improvement_vs_flops_balance,
    reliability,
    risk_coverage,
    severity,
)
from sidekick.leaderboard.figures.page import Drawing
from sidekick.leaderboard.figures.rows import Board

DRAW: Mapping[str, Callable[[Board], Drawing]] = {
    "improvement_vs_flops_balance": improvement_vs_flops_balance.draw,
    "aurc_vs_gmacs": aurc_vs_gmacs.draw,
    "risk_coverage": risk_coverage.draw,
    "deferral": deferral.draw,
    "reliability": reliability.draw,
    "severity": severity.draw,
    "deltas": deltas.draw,
}
"""How each of `sidekick.leaderboard.FIGURES` is drawn."""

"""The figures of a dataset, one module each; every `draw` takes a board and gives a drawing."""

from collections.abc import Callable, Mapping

from sidekick.leaderboard.figures import (
    accuracy_by_level,
    accuracy_vs_gmacs,
    aurc_vs_gmacs,
    budgets,
    deferral,
    deltas,
    gatekeeper_alpha,
    gatekeeper_confidence,
    gatekeeper_deferral,
    harm,
    improvement_vs_flops_balance,
    mc_dropout_normality,
    mc_dropout_rejection,
    mc_dropout_sensitivity,
    reliability,
    risk_coverage,
    severity,
    weight_ratio,
)
from sidekick.leaderboard.figures.page import Drawing
from sidekick.leaderboard.figures.rows import Board

DRAW: Mapping[str, Callable[[Board], Drawing]] = {
    "improvement_vs_flops_balance": improvement_vs_flops_balance.draw,
    "harm": harm.draw,
    "weight_ratio": weight_ratio.draw,
    "budgets": budgets.draw,
    "aurc_vs_gmacs": aurc_vs_gmacs.draw,
    "risk_coverage": risk_coverage.draw,
    "deferral": deferral.draw,
    "accuracy_vs_gmacs": accuracy_vs_gmacs.draw,
    "reliability": reliability.draw,
    "severity": severity.draw,
    "deltas": deltas.draw,
    "accuracy_by_level": accuracy_by_level.draw,
    "gatekeeper_alpha": gatekeeper_alpha.draw,
    "gatekeeper_confidence": gatekeeper_confidence.draw,
    "gatekeeper_deferral": gatekeeper_deferral.draw,
    "mc_dropout_rejection": mc_dropout_rejection.draw,
    "mc_dropout_sensitivity": mc_dropout_sensitivity.draw,
    "mc_dropout_normality": mc_dropout_normality.draw,
}
"""How each of `sidekick.leaderboard.FIGURES` and its like is drawn."""

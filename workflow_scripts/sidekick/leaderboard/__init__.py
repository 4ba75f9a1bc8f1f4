"""The leaderboard: one tidy table, its summary and its figures (polars, seaborn)."""

FIGURES = (
    "improvement_vs_flops_balance",
    "harm",
    "weight_ratio",
    "budgets",
    "aurc_vs_gmacs",
    "risk_coverage",
    "deferral",
    "accuracy_vs_gmacs",
    "reliability",
    "deltas",
)
"""The figures of every dataset, in the order of the page. Stdlib only: the workflow lists them."""

SHIFT_FIGURES = ("severity",)
"""The figures of datasets with a shift set."""

GATEKEEPER_FIGURES = ("gatekeeper_alpha", "gatekeeper_confidence", "gatekeeper_deferral")
"""The figures of datasets on which a model is gatekept, after the others."""

MC_DROPOUT_FIGURES = ("mc_dropout_rejection", "mc_dropout_sensitivity", "mc_dropout_normality")
"""The figures of datasets on which a model has an MC-dropout head, after the others."""

TEXT_FIGURES = ("accuracy_by_level",)
"""The figures of datasets of questions."""

GENERATION_FIGURES = ("aurc_vs_gmacs", "risk_coverage", "deferral", "accuracy_vs_gmacs", "deltas")
"""The figures of datasets whose answers are generated, in place of `FIGURES`."""

GENERATION_GATEKEEPER_FIGURES = ("gatekeeper_alpha", "gatekeeper_deferral")
"""The same in place of `GATEKEEPER_FIGURES`."""

REPORT_ENTRIES = {
    "aurc_vs_gmacs": ("1 Overview", "AURC against cost"),
    "accuracy_vs_gmacs": ("1 Overview", "Accuracy against cost"),
    "deltas": ("1 Overview", "Differences to matched controls"),
    "improvement_vs_flops_balance": ("2 Duos", "Improvement against FLOPs balance"),
    "harm": ("2 Duos", "Where a sidekick harms"),
    "weight_ratio": ("2 Duos", "Weight of the sidekick"),
    "budgets": ("2 Duos", "What a budget buys"),
    "risk_coverage": ("3 Confidence", "Risk against coverage"),
    "reliability": ("3 Confidence", "Reliability"),
    "severity": ("3 Confidence", "Under corruption"),
    "accuracy_by_level": ("3 Confidence", "Accuracy by level and subject"),
    "deferral": ("4 Deferral", "Accuracy against deferral ratio"),
    "gatekeeper_alpha": ("5 Gatekeeper", "Effect of alpha"),
    "gatekeeper_confidence": ("5 Gatekeeper", "Confidence of right and wrong answers"),
    "gatekeeper_deferral": ("5 Gatekeeper", "Deferral curves"),
    "mc_dropout_rejection": ("6 MC dropout", "Error of what is kept"),
    "mc_dropout_sensitivity": ("6 MC dropout", "Sensitivity to settings"),
    "mc_dropout_normality": ("6 MC dropout", "Normality of the passes"),
}
"""Category and label of each figure in the report, which sorts categories by name."""

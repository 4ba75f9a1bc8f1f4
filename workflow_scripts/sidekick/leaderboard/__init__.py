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

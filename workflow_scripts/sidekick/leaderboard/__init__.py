"""The leaderboard: one tidy table, its summary and its figures (polars, seaborn)."""

FIGURES = (
    "improvement_vs_flops_balance",
    "aurc_vs_gmacs",
    "risk_coverage",
    "deferral",
    "reliability",
    "severity",
    "deltas",
)
"""The figures of every dataset, in the order of the page. Stdlib only: the workflow lists them."""

"""Every metric of the leaderboard: its name, label, direction and definition, in board order."""

from dataclasses import dataclass

# Selective accuracies whose coverage is a metric.
SAC_TARGETS = tuple(percent / 100 for percent in range(90, 100))


@dataclass(frozen=True)
class Metric:
    """One metric of the leaderboard.

    Parameters
    ----------
    name : str
        Key in tables, `[a-z0-9_]+`.
    label : str
        Short name for a figure's axis, with the unit where there is one.
    higher_is_better : bool
    description : str
        One sentence for tooltips and docs.
    """

    name: str
    label: str
    higher_is_better: bool
    description: str


_UP, _DOWN = True, False

_ALL = [
    Metric("accuracy", "Accuracy", _UP, "Share of samples whose predicted class is right."),
    Metric(
        "macro_f1",
        "Macro-F1",
        _UP,
        "F1 averaged over the classes that occur as label or as prediction.",
    ),
    Metric("nll", "NLL (nats)", _DOWN, "Mean negative log-likelihood of the label."),
    Metric(
        "brier",
        "Brier",
        _DOWN,
        "Squared error of the probabilities, summed over classes and averaged over samples.",
    ),
    Metric(
        "ece",
        "ECE",
        _DOWN,
        "Expected calibration error of the predicted class, 15 equal-width bins (lo, hi].",
    ),
    Metric(
        "auroc",
        "AUROC",
        _UP,
        "Probability that a correct sample is more confident than a wrong one, ties one half.",
    ),
    Metric(
        "aurc",
        "AURC",
        _DOWN,
        "Error rate among the k most confident samples, averaged over k; ties averaged.",
    ),
    Metric(
        "e_aurc",
        "E-AURC",
        _DOWN,
        "AURC minus that of an ordering with all correct samples first.",
    ),
    Metric(
        "augrc",
        "AUGRC",
        _DOWN,
        "Area under the generalised risk-coverage curve: a (1 - a)(1 - AUROC) + (1 - a)^2 / 2.",
    ),
    *(
        Metric(
            f"sac_{round(100 * target)}",
            f"SAC@{round(100 * target)}",
            _UP,
            f"Largest coverage whose selective accuracy is at least {target:.2f}; 0 if none.",
        )
        for target in SAC_TARGETS
    ),
    Metric(
        "overlap",
        "Overlap $s_o$",
        _DOWN,
        "Area shared by the confidence densities of correct and of wrong samples.",
    ),
    Metric(
        "s_d",
        "Deferral $s_d$",
        _UP,
        "Gain of deferral over random deferral, relative to the Gatekeeper paper's ideal line.",
    ),
    Metric(
        "deferral_area",
        "Deferral area",
        _UP,
        "Area under joint accuracy against deferral ratio.",
    ),
    Metric(
        "deferral_gain_area",
        "Deferral gain area",
        _UP,
        "Area between the deferral curve and random deferral.",
    ),
    Metric("coverage", "Coverage", _UP, "Share of samples that are answered."),
    Metric(
        "selective_accuracy",
        "Selective accuracy",
        _UP,
        "Accuracy among the samples that are answered.",
    ),
    Metric("kept_error", "Kept error", _DOWN, "Error rate among the samples that are answered."),
    Metric(
        "kept_micro_f1",
        "Kept micro-F1",
        _UP,
        "F1 of all answered classes of the samples that are answered, which may be several each.",
    ),
    Metric(
        "kept_macro_f1",
        "Kept macro-F1",
        _UP,
        "The same per class, averaged over the classes that occur as label or as answer.",
    ),
    Metric(
        "misclassified_ignored",
        "Wrong among ignored",
        _UP,
        "Share of the ignored samples that the deterministic model gets wrong.",
    ),
    Metric(
        "false_ignore_rate",
        "False-ignore rate",
        _DOWN,
        "Share of the samples which the deterministic model gets right that are ignored.",
    ),
    *(
        Metric(
            f"accuracy_budget_{percent}",
            f"Accuracy@{percent} % cost",
            _UP,
            f"Joint accuracy at an expected cost of {percent} % of the large model's GMACs.",
        )
        for percent in (25, 50, 75)
    ),
    Metric(
        "accuracy_flexible",
        "Flexible accuracy",
        _UP,
        "Share of generated answers that are right by the prompt's flexible reading.",
    ),
    Metric(
        "truncated",
        "Cut off",
        _DOWN,
        "Share of generated answers that did not end in time; they count as wrong.",
    ),
]

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}

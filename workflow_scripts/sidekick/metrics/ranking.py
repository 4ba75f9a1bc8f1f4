"""How well a confidence separates correct from wrong: AUROC, risk-coverage areas, coverage at risk.

All of them are functions of a few counts over groups of equal confidence, so the samples are
sorted once, and each replicate is reduced to these counts once.
"""

import numpy as np

from sidekick.metrics.rank_counts import rank_counts
from sidekick.metrics.registry import SAC_TARGETS
from sidekick.metrics.ties import tie_groups


def auroc(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the probability that a correct sample outranks a wrong one, ties counting one half.

    Parameters
    ----------
    confidence : ndarray of float, shape (n,)
        Any scale, larger is surer.
    correct : ndarray of bool, shape (n,)
    weights : ndarray of int, shape (B, n)

    Returns
    -------
    ndarray of float64, shape (B,)
        NaN where a replicate has no correct or no wrong sample.

    Raises
    ------
    SidekickError
        A confidence is NaN, or lengths differ.
    """
    return rank_counts(confidence, correct, weights).auroc()


def aurc(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the area under the risk-coverage curve, (1/n) sum_k (error rate of the k surest).

    Parameters
    ----------
    confidence : ndarray of float, shape (n,)
    correct : ndarray of bool, shape (n,)
    weights : ndarray of int, shape (B, n)

    Returns
    -------
    ndarray of float64, shape (B,)
        NaN where a replicate holds no sample.

    Raises
    ------
    SidekickError
        A confidence is NaN, or lengths differ.

    Notes
    -----
    Geifman and El-Yaniv (2017). Ties are averaged: the value is the exact expectation over random
    orders within groups of equal confidence. With N samples and E errors before a group of m
    samples and e errors, the expected error count after j of its samples is E + j e/m, so the
    group adds sum_j (E + j e/m)/(N + j) = e + (E - N e/m)(H_{N+m} - H_N), divided by n, where
    H_k is the k-th harmonic number. torch-uncertainty instead takes the trapezoid from k = 1 over
    1 - 1/n, and resolves ties by row order.
    """
    return rank_counts(confidence, correct, weights).aurc()


def e_aurc(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the excess AURC: AURC minus that of an ordering with every correct sample first.

    Parameters
    ----------
    confidence : ndarray of float, shape (n,)
    correct : ndarray of bool, shape (n,)
    weights : ndarray of int, shape (B, n)

    Returns
    -------
    ndarray of float64, shape (B,)
        NaN where a replicate holds no sample.

    Raises
    ------
    SidekickError
        A confidence is NaN, or lengths differ.

    Notes
    -----
    Geifman, Uziel and El-Yaniv (2019), with the exact optimum of the finite sample rather than
    their approximation a' + (1 - a') log(1 - a').
    """
    return rank_counts(confidence, correct, weights).e_aurc()


def augrc(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the area under the generalised risk-coverage curve.

    Parameters
    ----------
    confidence : ndarray of float, shape (n,)
    correct : ndarray of bool, shape (n,)
    weights : ndarray of int, shape (B, n)

    Returns
    -------
    ndarray of float64, shape (B,)
        NaN where a replicate holds no sample.

    Raises
    ------
    SidekickError
        A confidence is NaN, or lengths differ.

    Notes
    -----
    Traub et al. (2024): a (1 - a)(1 - AUROC) + (1 - a)^2 / 2 with accuracy a. The first term is 0
    where everything is right or everything is wrong, so AUGRC is defined where AUROC is not.
    """
    return rank_counts(confidence, correct, weights).augrc()


def sac(
    confidence: np.ndarray,
    correct: np.ndarray,
    weights: np.ndarray,
    targets: tuple[float, ...] = SAC_TARGETS,
) -> np.ndarray:
    """Return selective accuracy constraints: the largest coverage that keeps a target accuracy.

    Parameters
    ----------
    confidence : ndarray of float, shape (n,)
    correct : ndarray of bool, shape (n,)
    weights : ndarray of int, shape (B, n)
    targets : tuple of float, length T
        Selective accuracies to hold, whole per cent.

    Returns
    -------
    ndarray of float64, shape (T, B)
        Coverage in [0, 1], 0 where no threshold reaches the target; NaN where a replicate holds
        no sample.

    Raises
    ------
    SidekickError
        A confidence is NaN, or lengths differ.

    Notes
    -----
    Galil, Dabbah and El-Yaniv (2023). Only coverages that a threshold on the confidence can
    produce count, that is those at the ends of tie groups.
    """
    return rank_counts(confidence, correct, weights, targets).sac()


def ranking_metrics(
    confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Return every ranking metric of a predictor from one sort and one pass over the weights.

    Parameters
    ----------
    confidence : ndarray of float, shape (n,)
    correct : ndarray of bool, shape (n,)
    weights : ndarray of int, shape (B, n)

    Returns
    -------
    dict of str to ndarray of float64, shape (B,)
        ``auroc``, ``aurc``, ``e_aurc``, ``augrc``, ``sac_90`` to ``sac_99``.

    Raises
    ------
    SidekickError
        A confidence is NaN, or lengths differ.
    """
    counts = rank_counts(confidence, correct, weights, SAC_TARGETS)
    names = [f"sac_{round(100 * target)}" for target in SAC_TARGETS]
    return {
        "auroc": counts.auroc(),
        "aurc": counts.aurc(),
        "e_aurc": counts.e_aurc(),
        "augrc": counts.augrc(),
        **dict(zip(names, counts.sac(), strict=True)),
    }


def risk_coverage_curve(
    confidence: np.ndarray, correct: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return coverage and selective risk at every threshold on the confidence.

    Parameters
    ----------
    confidence : ndarray of float, shape (n,)
    correct : ndarray of bool, shape (n,)

    Returns
    -------
    coverage, risk : ndarray of float64, shape (G,)
        One point per distinct confidence, coverage ascending to 1.

    Raises
    ------
    SidekickError
        A confidence is NaN, or lengths differ.
    """
    groups = tie_groups(-np.asarray(confidence, dtype=np.float64))
    errors = np.cumsum(~groups.arrange(correct).astype(bool))[groups.ends - 1]
    return groups.ends / groups.order.size, errors / groups.ends

"""The Gatekeeper loss: be sure where right and unsure where wrong (arXiv 2502.19335, Eq. 1 to 5).

For logits of N samples over C classes, p = softmax(z) and ŷ = argmax z,

    L = α · L_corr + (1 − α) · L_incorr
    L_corr = (1/N) Σ 1[ŷ = y] · CE(p, y)        L_incorr = (1/N) Σ 1[ŷ ≠ y] · KL(p ‖ U)

U is uniform over the classes (over those that are not absent, −inf), and KL(p ‖ U) = log C − H(p).

What to know before using it:

Collapse
    Both parts are at least 0 and a wrong sample is never pulled towards its label, so being
    unsure of everything is cheap. Where all C logits of each sample are equal, the argmax is
    class 0 (the first of equals): KL is 0 everywhere, and CE is log C on the share π₀ of the
    samples whose label is class 0. So the loss is exactly α · π₀ · log C, with balanced classes
    α · log(C)/C: 0.23 α for C = 10, 0.046 α for 100, 0.026 α for 200. Near to uniform, with the
    share q of samples right, it tends to α · q · log C, and so to the infimum 0 for a predictor
    that is *wrong on every sample*, just as for a perfect one.
    Let c = (1/N) Σ 1[ŷ = y] · CE and k = (1/N) Σ 1[ŷ ≠ y] · KL be a model's own parts. The uniform
    predictor costs less if c ≥ π₀ log C and k > 0, whatever α is, and otherwise if
    (1 − α)/α > (π₀ log C − c)/k. A sample that turns wrong on the way stops paying CE, and
    with live correctness nothing turns it back. `sidekick.methods.collapse` detects the outcome;
    an anchor (cross-entropy on all samples) or frozen correctness prevents it.
The most over-confident errors
    The gradient of KL(p ‖ U) in z_k is p_k (log p_k + H(p)), which vanishes where p is one-hot.
    That of KL(U ‖ p), p_k − 1/C, does not.
The scale of α
    KL is at most log C, so that one α means different things for different numbers of classes.
"""

import math

import torch
from torch import Tensor

from sidekick.training.gatekeeper_settings import DIVERGENCES, NORMALISATIONS


def gatekeeper_loss(
    logits: Tensor,
    targets: Tensor,
    alpha: float,
    *,
    correct: Tensor | None = None,
    normalisation: str = "batch",
    divergence: str = "p_uniform",
    smoothing: float = 0.0,
) -> Tensor:
    """Give the loss of a batch.

    Parameters
    ----------
    logits
        (N, C) of any float type; computed in float32 at least. −inf marks an absent option.
    targets
        Labels (N,) int64, or probabilities (N, C), such as a large model's soft outputs; then the
        most probable class counts as the label.
    alpha
        Between 0 and 1.
    correct
        (N,) bool: whether a sample counts as right. By default whether the argmax of the logits,
        the first of equals, is the label: evaluated anew at every step, as in the paper.
    normalisation
        `batch`: both sums are divided by N, as in the paper, so that their weights move with the
        accuracy. `subset`: each by the number of its own samples (0 if there are none).
    divergence
        `p_uniform`: KL(p ‖ U), the paper's; `uniform_p`: KL(U ‖ p), Outlier Exposure's.
    smoothing
        Label smoothing of the cross-entropy.

    Returns
    -------
    Tensor
        A scalar, float32 at least.
    """
    return selected_token_loss(
        logits,
        targets,
        len(targets),
        alpha,
        correct=correct,
        normalisation=normalisation,
        divergence=divergence,
        smoothing=smoothing,
    )


def token_gatekeeper_loss(
    logits: Tensor,
    targets: Tensor,
    mask: Tensor,
    alpha: float,
    *,
    correct: Tensor | None = None,
    normalisation: str = "batch",
    divergence: str = "p_uniform",
    smoothing: float = 0.0,
) -> Tensor:
    """Give the loss of a batch of teacher-forced sequences, token by token.

    Parameters
    ----------
    logits
        (N, T, V); what stands at masked places is not read and takes no gradient.
    targets
        Tokens (N, T) int64, or probabilities (N, T, V).
    mask
        (N, T) bool, true for tokens that count, false for padding.
    alpha, divergence, smoothing
        As for `gatekeeper_loss`, with the vocabulary in the place of classes.
    correct
        (N, T) bool; by default whether the argmax of the logits is the target.
    normalisation
        `batch`: by the number N of sequences, as in the paper (which sums over the tokens, so
        that long sequences count for more). `subset`: by the number of right or wrong tokens.

    Returns
    -------
    Tensor
        A scalar, float32 at least; 0 if no token counts.
    """
    return selected_token_loss(
        logits[mask],
        targets[mask],
        len(mask),
        alpha,
        correct=None if correct is None else correct[mask],
        normalisation=normalisation,
        divergence=divergence,
        smoothing=smoothing,
    )


def selected_token_loss(
    logits: Tensor,
    targets: Tensor,
    sequences: int,
    alpha: float,
    *,
    correct: Tensor | None = None,
    normalisation: str = "batch",
    divergence: str = "p_uniform",
    smoothing: float = 0.0,
) -> Tensor:
    """Give `token_gatekeeper_loss` where only the M tokens that count have logits.

    Parameters
    ----------
    logits
        (M, V).
    targets
        Tokens (M,) int64, or probabilities (M, V).
    sequences
        N: how many sequences the tokens are of. Of a part of a batch it is the number of the whole
        batch's, so that the parts' losses add up to that of the batch (not with `subset`).
    correct
        (M,) bool; by default whether the argmax of the logits is the target.
    alpha, normalisation, divergence, smoothing
        As for `token_gatekeeper_loss`.

    Returns
    -------
    Tensor
        A scalar, float32 at least; 0 if there are no tokens.
    """
    _check(alpha, normalisation, divergence)
    right, wrong, is_right = _sums(logits, targets, correct, divergence, smoothing)
    if normalisation == "batch":
        return (alpha * right + (1 - alpha) * wrong) / sequences
    return _over_subsets(alpha, right, wrong, is_right)


def cross_entropy_per_sample(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Give the cross-entropy (N,) of labels or probabilities; absent options take no part.

    As `torch.nn.functional.cross_entropy` without reduction, but −inf logits of classes that have
    probability 0, or are smoothed over, do not make it infinite.
    """
    log_p, present = _log_softmax(logits)
    return _cross_entropy(log_p, present, targets, smoothing)


def _check(alpha: float, normalisation: str, divergence: str) -> None:
    # Mistakes of the calling code: the configuration is checked elsewhere.
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}, not within 0 to 1")
    if normalisation not in NORMALISATIONS or divergence not in DIVERGENCES:
        raise ValueError(f"unknown normalisation '{normalisation}' or divergence '{divergence}'")


def _sums(
    logits: Tensor, targets: Tensor, correct: Tensor | None, divergence: str, smoothing: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the cross-entropy of right samples, the divergence of wrong ones, and which are right.

    The sums take gradients; which samples are right does not.
    """
    log_p, present = _log_softmax(logits)
    if correct is None:
        correct = logits.argmax(dim=1) == (targets if targets.ndim == 1 else targets.argmax(dim=1))
    cross_entropy = _cross_entropy(log_p, present, targets, smoothing)
    distance = _from_uniform(log_p, present, divergence)
    # Selected by `where`, so that an infinite cross-entropy of a wrong sample is not 0 · inf.
    zero = log_p.new_zeros(())
    right = torch.where(correct, cross_entropy, zero).sum()
    return right, torch.where(correct, zero, distance).sum(), correct


def _over_subsets(alpha: float, right: Tensor, wrong: Tensor, correct: Tensor) -> Tensor:
    count = correct.sum()
    return alpha * right / count.clamp(min=1) + (1 - alpha) * wrong / (
        (len(correct) - count).clamp(min=1)
    )


def _log_softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Give log p (N, C), 0 for absent options, and which options are present."""
    present = ~torch.isneginf(logits)
    log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=1)
    # An absent option would add 0 · inf, in the gradients as well.
    return log_p.masked_fill(~present, 0), present


def _cross_entropy(log_p: Tensor, present: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    if targets.ndim == 1:
        place = targets[:, None]
        own = log_p.gather(1, place).masked_fill(~present.gather(1, place), -math.inf)[:, 0]
    else:
        own = (targets.to(log_p.dtype) * log_p).sum(dim=1)
    if not smoothing:
        return -own
    return -(1 - smoothing) * own - smoothing * log_p.sum(dim=1) / present.sum(dim=1)


def _from_uniform(log_p: Tensor, present: Tensor, divergence: str) -> Tensor:
    """Give KL(p ‖ U) or KL(U ‖ p), (N,)."""
    count = present.sum(dim=1)
    log_count = count.to(log_p.dtype).log()
    if divergence == "p_uniform":
        return log_count + (log_p.exp() * log_p).sum(dim=1)
    return -log_count - log_p.sum(dim=1) / count

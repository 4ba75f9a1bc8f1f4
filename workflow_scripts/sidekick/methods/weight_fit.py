"""Non-negative weights on logits, by minimising the negative log-likelihood.

The one solver behind temperatures (one model) and duos (two). In the weights the problem is
convex, for logsumexp is convex and its argument linear in them, so Newton's method with
backtracking finds the optimum in a handful of passes. The LBFGS setting that is in wide use
(learning rate 0.01, 50 iterations, no line search) stops far from it: on 25,000 x 1,000 logits it
ended at a higher loss than no scaling at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sidekick.errors import SidekickError

_GRADIENT_TOLERANCE = 1e-9
# Rounding in the loss can end the line search before the gradient falls below the tolerance.
_CONVERGED = 1e-6
_MAX_ITERATIONS = 100
_SUBSAMPLE = 2000
# Of one model's logits: a block stays in the processor's cache.
_BLOCK_ELEMENTS = 1 << 16


@dataclass(frozen=True)
class WeightFit:
    """The outcome of a fit.

    Attributes
    ----------
    weights
        (K,) float64, each at least 0.
    nll
        Mean negative log-likelihood at the optimum, in nats.
    iterations
        Newton steps over all rows.
    gradient_norm
        Largest component of the projected gradient, for logits of unit spread.
    converged
        Whether `gradient_norm` is at most 1e-6.
    at_zero
        (K,) whether a weight sits on its bound: that model is switched off.
    separable
        Whether these weights classify every sample right. Then larger multiples of them are
        always better, no optimum exists, and they only say "as sharp as possible".
    """

    weights: np.ndarray
    nll: float
    iterations: int
    gradient_norm: float
    converged: bool
    at_zero: np.ndarray
    separable: bool

    @property
    def note(self) -> str | None:
        """What a reader of the result must know, if anything."""
        if not self.converged:
            return f"fit not converged (gradient {self.gradient_norm:.1e})"
        if self.separable:
            return "validation samples are separable: weights are only a lower bound"
        if self.at_zero.all():
            return "all weights are 0: no scaling of these logits beats equal probabilities"
        return None


def fit_weights(logits: Sequence[np.ndarray], labels: np.ndarray) -> WeightFit:
    """Minimise the NLL of softmax(sum_k w_k z_k) over w >= 0.

    Parameters
    ----------
    logits
        K arrays (n, C), any float type. -inf (absent options) must stand in the same places.
    labels
        (n,) integers from 0 to C - 1.

    Returns
    -------
    WeightFit
        Weights for the logits as given.

    Raises
    ------
    SidekickError
        If there are no rows, the arrays do not match, a label is out of range or names an absent
        option, or a logit is NaN or +inf.

    Notes
    -----
    Projected Newton (Bertsekas 1982, "Projected Newton methods for optimization problems with
    simple constraints"): weights at 0 whose gradient points outwards are held, the others take a
    Newton step that is clipped at 0 and shortened until the loss falls enough (Armijo).
    """
    rows = _check(logits, labels)
    spread = np.array([_spread(array) for array in logits])
    # With unit spread, one tolerance and one starting point serve logits of any scale.
    scale = np.where(spread > 0, spread, 1.0)
    # Logits without any spread say nothing: their weight starts, and so stays, at 0.
    start = np.where(spread > 0, 1.0 / len(logits), 0.0)
    try:
        if rows > 2 * _SUBSAMPLE:
            step = rows // _SUBSAMPLE
            start = _newton([z[::step] for z in logits], labels[::step], scale, start).weights
        fit = _newton(logits, labels, scale, start)
    except FloatingPointError:
        raise SidekickError(_describe_refused(logits, labels)) from None
    return replace(fit, weights=fit.weights / scale)


def _newton(
    logits: Sequence[np.ndarray], labels: np.ndarray, scale: np.ndarray, start: np.ndarray
) -> WeightFit:
    weights = start.copy()
    loss, gradient, hessian = _loss_and_derivatives(logits, labels, scale, weights)
    if not all(np.isfinite(part).all() for part in (loss, gradient, hessian)):
        raise FloatingPointError
    for iteration in range(_MAX_ITERATIONS + 1):
        norm = _projected_gradient_norm(weights, gradient)
        if norm <= _GRADIENT_TOLERANCE or iteration == _MAX_ITERATIONS:
            break
        step = _newton_step(weights, gradient, hessian)
        accepted = _line_search(logits, labels, scale, weights, loss, gradient, step)
        if accepted is None:
            break
        weights, (loss, gradient, hessian) = accepted
    return WeightFit(
        weights=weights,
        nll=float(loss),
        iterations=iteration,
        gradient_norm=float(norm),
        converged=bool(norm <= _CONVERGED),
        at_zero=weights == 0,
        separable=_separates(logits, labels, scale, weights),
    )


def _newton_step(weights: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    free = ~((weights == 0) & (gradient > 0))
    step = np.zeros_like(weights)
    ridge = 1e-12 * max(np.trace(hessian), 1e-12)
    block = hessian[np.ix_(free, free)] + ridge * np.eye(free.sum())
    step[free] = -np.linalg.solve(block, gradient[free])
    return step


def _line_search(logits, labels, scale, weights, loss, gradient, step):
    length = 1.0
    for _ in range(40):
        candidate = np.maximum(weights + length * step, 0.0)
        result = _loss_and_derivatives(logits, labels, scale, candidate)
        if result[0] <= loss + 1e-4 * min(gradient @ (candidate - weights), 0.0):
            return candidate, result
        length /= 2
    return None


def _projected_gradient_norm(weights: np.ndarray, gradient: np.ndarray) -> float:
    return float(np.max(np.abs(np.where(weights > 0, gradient, np.minimum(gradient, 0.0)))))


def _loss_and_derivatives(logits, labels, scale, weights):
    """Give the mean NLL, its gradient (K,) and its Hessian (K, K)."""
    models, rows = len(logits), len(labels)
    loss, gradient, hessian = 0.0, np.zeros(models), np.zeros((models, models))
    for values, combined, chosen in _blocks(logits, labels, scale, weights):
        # Unusable logits give NaN here; the caller says which.
        with np.errstate(invalid="ignore"):
            highest = combined.max(axis=1, keepdims=True)
            loss -= (combined[chosen] - highest[:, 0]).sum()
            mass = np.exp(combined - highest)
            total = mass.sum(axis=1)
            loss += np.log(total).sum()
            mass /= total[:, None]
            weighted = mass * values
            mean = weighted.sum(axis=2)
            gradient += (mean - values[:, *chosen]).sum(axis=1)
            flat = (models, -1)
            hessian += weighted.reshape(flat) @ values.reshape(flat).T - mean @ mean.T
    return loss / rows, gradient / rows, hessian / rows


def _separates(logits, labels, scale, weights) -> bool:
    """Tell whether in every row the label's combined logit is above all others."""
    for _, combined, chosen in _blocks(logits, labels, scale, weights):
        own = combined[chosen]
        combined[chosen] = -np.inf
        if (combined.max(axis=1) >= own).any():
            return False
    return True


def _blocks(logits, labels, scale, weights):
    """Yield blocks of rows: values (K, n, C) of unit spread, their weighted sum, label indices.

    Values are relative to their row's maximum: a shift of a row changes no probability, but a
    large one would cost the derivatives their digits. Absent options have value 0, sum -inf.
    """
    rows, classes = logits[0].shape
    block = max(1, _BLOCK_ELEMENTS // classes)
    for first in range(0, rows, block):
        part = slice(first, first + block)
        values = np.stack([z[part].astype(np.float64) for z in logits])
        absent = np.isneginf(values[0])
        some_absent = absent.any()
        with np.errstate(invalid="ignore"):
            highest = values.max(axis=2, keepdims=True)
            if highest.any():
                values -= highest
            if some_absent:
                # NaN, which the caller notices, if it is present in another model.
                values[:, absent] = np.where(np.isneginf(values[:, absent]), 0.0, np.nan)
            values /= scale[:, None, None]
            combined = np.tensordot(weights, values, 1)
        if some_absent:
            combined[absent] = -np.inf
        yield values, combined, (np.arange(len(combined)), labels[part])


def _spread(logits: np.ndarray) -> float:
    """Give the median of the rows' standard deviations: one wild row must not set the scale."""
    sample = np.asarray(logits[:: max(1, len(logits) // _SUBSAMPLE)], dtype=np.float64)
    present = np.isfinite(sample)
    count = np.maximum(present.sum(axis=1), 1)
    sample = np.where(present, sample, 0.0)
    mean = sample.sum(axis=1) / count
    deviation = np.where(present, sample - mean[:, None], 0.0)
    spreads = np.sqrt(np.square(deviation).sum(axis=1) / count)
    spreads = spreads[spreads > 0]
    return float(np.median(spreads)) if spreads.size else 0.0


def _check(logits: Sequence[np.ndarray], labels: np.ndarray) -> int:
    """Refuse arrays that do not match; give the number of rows."""
    shapes = {array.shape for array in logits}
    if len(shapes) != 1:
        raise SidekickError(f"logits of different shapes cannot be combined: {sorted(shapes)}")
    rows, classes = next(iter(shapes))
    if rows == 0 or rows != len(labels):
        raise SidekickError(f"{rows} rows of logits and {len(labels)} labels: nothing to fit")
    refused = (labels < 0) | (labels >= classes)
    if refused.any():
        row = int(refused.argmax())
        raise SidekickError(f"label {labels[row]} in row {row}; allowed are 0 to {classes - 1}")
    return rows


def _describe_refused(logits: Sequence[np.ndarray], labels: np.ndarray) -> str:
    """Say which row no weights can be fitted to, and why."""
    absent = np.isneginf(logits)
    rows = np.arange(len(labels))
    for refused, what in (
        (np.isnan(logits).any(axis=(0, 2)), "a logit is NaN"),
        (np.isposinf(logits).any(axis=(0, 2)), "a logit is +inf"),
        ((absent.any(axis=0) & ~absent.all(axis=0)).any(axis=1), "an option is absent in one only"),
        (absent[:, rows, labels].any(axis=0), "the label is an absent option"),
    ):
        if refused.any():
            return f"row {int(refused.argmax())} of the logits: {what}"
    return "the logits are too large to combine"

"""Non-negative weights on logits, by minimising the negative log-likelihood.

The one solver behind temperatures (one model) and duos (two). In the weights the problem is
convex, for logsumexp is convex and its argument linear in them, so Newton's method with
backtracking finds the optimum in a handful of passes. The LBFGS setting that is in wide use
(learning rate 0.01, 50 iterations, no line search) stops far from it: on 25,000 x 1,000 logits it
ended at a higher loss than no scaling at all.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from sidekick.errors import SidekickError

# Largest component of the projected gradient to stop at; on a part of the rows, whose optimum is
# only where to start from; and what still counts as converged, if rounding allows no better. In
# single precision the gradient itself is good to a few 1e-7; the loss depends on its square.
_GRADIENT_TOLERANCE = {np.float64: 1e-9, np.float32: 1e-6}
_START_TOLERANCE = 1e-3
_CONVERGED = 1e-6
# Differences of the loss, relative to it, that are only rounding.
_ROUNDING = {np.float64: 1e-14, np.float32: 1e-7}
_MAX_ITERATIONS = 100
# Parts of the rows to start from, each from the optimum of the one before.
_SUBSAMPLES = (400, 2000)
_SPREAD_ROWS = 500
# Of each model's logits, when looking for what is wrong with them.
_DESCRIBED_ELEMENTS = 1 << 18


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
    return fit_combinations(logits, labels, [range(len(logits))])[0]


def fit_combinations(
    logits: Sequence[np.ndarray],
    labels: np.ndarray,
    combinations: Sequence[Sequence[int]],
    orders: Sequence[np.ndarray | None] | None = None,
) -> list[WeightFit]:
    """Fit the weights of many combinations of models together, as `fit_weights` does each.

    All fits take their steps at the same time, so that a block of rows is read once per step for
    all of them; those that are done drop out.

    Parameters
    ----------
    logits
        M arrays (n, C), any float type.
    labels
        (n,) integers from 0 to C - 1.
    combinations
        For each fit the positions of its models in `logits`.
    orders
        For each model None, or (n,) rows to take instead of 0, 1, 2 and so on.

    Returns
    -------
    list of WeightFit
        In the order of `combinations`.

    Raises
    ------
    SidekickError
        As `fit_weights`.

    Notes
    -----
    More than 4,000 rows of float16 or float32 logits are fitted in single precision, with sums over
    rows in double: the loss is then good to 1e-7 and the weights to about 1e-5.
    """
    problem = _Problem(logits, labels, orders or [None] * len(logits))
    problem.check()
    scale, starts = [], []
    spread = np.array([_spread(array) for array in logits])
    for members in combinations:
        own = spread[list(members)]
        # With unit spread, one tolerance and one starting point serve logits of any scale.
        scale.append(np.where(own > 0, own, 1.0))
        # Logits without any spread say nothing: their weight starts, and so stays, at 0.
        starts.append(np.where(own > 0, 1.0 / len(own), 0.0))
    try:
        dtype = np.float64
        if len(labels) > 2 * max(_SUBSAMPLES):
            if all(array.dtype in (np.float16, np.float32) for array in logits):
                dtype = np.float32
            for size in _SUBSAMPLES:
                part = problem.every(len(labels) // size)
                found = part.fit(combinations, scale, starts, dtype, _START_TOLERANCE)
                starts = [fit.weights for fit in found]
        fits = problem.fit(combinations, scale, starts, dtype, _GRADIENT_TOLERANCE[dtype])
    except FloatingPointError:
        raise SidekickError(_describe_refused(logits, labels, problem.orders)) from None
    return [replace(fit, weights=fit.weights / own) for fit, own in zip(fits, scale, strict=True)]


class _Moments(NamedTuple):
    """Mean NLL, its gradient (K,) and Hessian (K, K), and how many rows are surely wrong."""

    loss: float
    gradient: np.ndarray
    hessian: np.ndarray
    wrong: int

    @property
    def finite(self) -> bool:
        return all(np.isfinite(part).all() for part in self[:3])


@dataclass(frozen=True, eq=False)
class _Problem:
    """The rows that weights are fitted to.

    Attributes
    ----------
    logits, labels, orders
        As given to `fit_combinations`.
    """

    logits: Sequence[np.ndarray]
    labels: np.ndarray
    orders: Sequence[np.ndarray | None]

    def check(self) -> None:
        """Refuse arrays that do not match."""
        shapes = {array.shape for array in self.logits}
        if len(shapes) != 1:
            raise SidekickError(f"logits of different shapes cannot be combined: {sorted(shapes)}")
        rows, classes = next(iter(shapes))
        if rows == 0 or rows != len(self.labels):
            raise SidekickError(
                f"{rows} rows of logits and {len(self.labels)} labels: nothing to fit"
            )
        refused = (self.labels < 0) | (self.labels >= classes)
        if refused.any():
            row = int(refused.argmax())
            raise SidekickError(
                f"label {self.labels[row]} in row {row}; allowed are 0 to {classes - 1}"
            )

    def every(self, step: int) -> "_Problem":
        """Give every `step`-th row only."""
        return _Problem(
            [
                own[::step] if order is None else own
                for own, order in zip(self.logits, self.orders, strict=True)
            ],
            self.labels[::step],
            [None if order is None else order[::step] for order in self.orders],
        )

    def fit(
        self,
        combinations: Sequence[Sequence[int]],
        scales: Sequence[np.ndarray],
        starts: Sequence[np.ndarray],
        dtype: type,
        tolerance: float,
    ) -> list[WeightFit]:
        """Fit all combinations, step by step together; weights are for logits of unit spread."""
        searches = [_newton(start, tolerance, _ROUNDING[dtype]) for start in starts]
        wanted = {index: next(search) for index, search in enumerate(searches)}
        fits: dict[int, WeightFit] = {}
        while wanted:
            moments = self._moments(combinations, scales, wanted, dtype)
            for index, found in moments.items():
                try:
                    wanted[index] = searches[index].send(found)
                except StopIteration as done:
                    fits[index] = done.value
                    del wanted[index]
        return [
            replace(fits[index], separable=self._separates(members, fits[index].weights / scale))
            if fits[index].separable
            else fits[index]
            for index, (members, scale) in enumerate(zip(combinations, scales, strict=True))
        ]

    def _moments(self, combinations, scales, weights, dtype) -> dict[int, _Moments]:
        """Evaluate the combinations that `weights` names, in one pass over the rows."""
        from sidekick.kernels.instructions import LOG2_E
        from sidekick.kernels.moments import add_moments

        used = sorted({model for index in weights for model in combinations[index]})
        position = {model: place for place, model in enumerate(used)}
        jobs = []
        for size in sorted({len(combinations[index]) for index in weights}):
            own = [index for index in weights if len(combinations[index]) == size]
            members = [[position[model] for model in combinations[index]] for index in own]
            scaled = LOG2_E * np.array([weights[index] / scales[index] for index in own])
            totals = np.zeros((len(own), 2 + size + size * (size + 1) // 2))
            jobs.append((own, np.array(members, dtype=np.int64), scaled.astype(dtype), totals))
        combined = np.empty((2, self.logits[0].shape[1]), dtype=dtype)
        row_sums = np.empty(max(totals.shape[1] for *_, totals in jobs))
        for part in self._blocks(used, dtype):
            missing = part.missing
            if missing is not None and any(
                (missing[one] != missing[members[0]]).any()
                for _, groups, _, _ in jobs
                for members in groups
                for one in members
            ):
                raise FloatingPointError("an option is absent in one model only")
            labels = self.labels[part.rows].astype(np.int32)
            for _, members, scaled, totals in jobs:
                add_moments(
                    part.values, part.absent, labels, members, scaled, combined, row_sums, totals
                )
        return {
            index: _unpack(row, len(self.labels), scales[index])
            for own, _, _, totals in jobs
            for index, row in zip(own, totals, strict=True)
        }

    def _separates(self, members: Sequence[int], weights: np.ndarray) -> bool:
        """Tell whether in every row the label's combined logit is above all others."""
        for part in self._blocks(members, np.float64):
            combined = np.tensordot(weights, part.values, 1)
            if part.missing is not None:
                combined += part.absent
            chosen = np.arange(len(combined)), self.labels[part.rows]
            own = combined[chosen]
            combined[chosen] = -np.inf
            if (combined.max(axis=1) >= own).any():
                return False
        return True

    def _blocks(self, models: Sequence[int], dtype: type):
        from sidekick.kernels.blocks import blocks

        return blocks(
            [self.logits[model] for model in models],
            dtype,
            [self.orders[model] for model in models],
        )


def _newton(
    start: np.ndarray, tolerance: float, rounding: float
) -> Generator[np.ndarray, _Moments, WeightFit]:
    """Minimise over weights >= 0: yields weights, is sent their moments, returns the fit.

    What it returns says `separable` where no row is surely wrong: whether all are right, is open.
    """
    weights = start.copy()
    found = yield weights
    if not found.finite:
        raise FloatingPointError
    iteration, norm = 0, _projected_gradient_norm(weights, found.gradient)
    while norm > tolerance and iteration < _MAX_ITERATIONS:
        slack = rounding * found.loss
        accepted = yield from _line_search(weights, found, slack)
        if accepted is None:
            break
        iteration += 1
        gained = found.loss - accepted[1].loss
        weights, found = accepted
        before, norm = norm, _projected_gradient_norm(weights, found.gradient)
        if abs(gained) <= slack and norm > before / 2:
            break
    return WeightFit(
        weights=weights,
        nll=float(found.loss),
        iterations=iteration,
        gradient_norm=float(norm),
        converged=bool(norm <= _CONVERGED),
        at_zero=weights == 0,
        separable=found.wrong == 0,
    )


def _line_search(weights: np.ndarray, found: _Moments, slack: float) -> Generator:
    """Shorten the Newton step until the loss falls enough; None if no step does."""
    step = _newton_step(weights, found.gradient, found.hessian)
    length = 1.0
    for _ in range(40):
        candidate = np.maximum(weights + length * step, 0.0)
        result = yield candidate
        enough = 1e-4 * min(found.gradient @ (candidate - weights), 0.0)
        if result.loss <= found.loss + enough + slack:
            return candidate, result
        length /= 2
    return None


def _newton_step(weights: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    # A weight that is about to reach its bound would be clipped there, and a step that counts on
    # its full change need not lead downwards: it goes to the bound on its own account.
    near = min(1e-3, np.abs(weights - np.maximum(weights - gradient, 0.0)).max())
    bound = (weights <= near) & (gradient > 0)
    free = ~bound
    step = np.where(bound, -weights, 0.0)
    ridge = 1e-12 * max(np.trace(hessian), 1e-12)
    block = hessian[np.ix_(free, free)] + ridge * np.eye(free.sum())
    step[free] = -np.linalg.solve(block, gradient[free])
    return step


def _projected_gradient_norm(weights: np.ndarray, gradient: np.ndarray) -> float:
    return float(np.max(np.abs(np.where(weights > 0, gradient, np.minimum(gradient, 0.0)))))


def _unpack(totals: np.ndarray, rows: int, scale: np.ndarray) -> _Moments:
    """Turn sums over rows into means, for logits divided by `scale`."""
    models = len(scale)
    hessian = np.empty((models, models))
    place = 2 + models
    for one in range(models):
        for other in range(one + 1):
            hessian[one, other] = hessian[other, one] = totals[place]
            place += 1
    return _Moments(
        totals[0] / rows,
        totals[2 : 2 + models] / rows / scale,
        hessian / rows / (scale[:, None] * scale),
        int(totals[1]),
    )


def _spread(logits: np.ndarray) -> float:
    """Give the median of the rows' standard deviations: one wild row must not set the scale."""
    sample = np.asarray(logits[:: max(1, len(logits) // _SPREAD_ROWS)], dtype=np.float64)
    present = np.isfinite(sample)
    count = np.maximum(present.sum(axis=1), 1)
    sample = np.where(present, sample, 0.0)
    mean = sample.sum(axis=1) / count
    deviation = np.where(present, sample - mean[:, None], 0.0)
    spreads = np.sqrt(np.square(deviation).sum(axis=1) / count)
    spreads = spreads[spreads > 0]
    return float(np.median(spreads)) if spreads.size else 0.0


def _describe_refused(
    logits: Sequence[np.ndarray], labels: np.ndarray, orders: Sequence[np.ndarray | None]
) -> str:
    """Say which row no weights can be fitted to, and why."""
    step = max(1, _DESCRIBED_ELEMENTS // logits[0].shape[1])
    for first in range(0, len(labels), step):
        part = slice(first, first + step)
        block = np.stack(
            [
                own[part if order is None else order[part]]
                for own, order in zip(logits, orders, strict=True)
            ]
        )
        absent = np.isneginf(block)
        rows = np.arange(block.shape[1])
        for refused, what in (
            (np.isnan(block).any(axis=(0, 2)), "a logit is NaN"),
            (np.isposinf(block).any(axis=(0, 2)), "a logit is +inf"),
            (
                (absent.any(axis=0) & ~absent.all(axis=0)).any(axis=1),
                "an option is absent in one only",
            ),
            (absent[:, rows, labels[part]].any(axis=0), "the label is an absent option"),
        ):
            if refused.any():
                return f"row {first + int(refused.argmax())} of the logits: {what}"
    return "the logits are too large to combine"

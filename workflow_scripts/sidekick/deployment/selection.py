"""Choose thresholds on validation samples so that what they promise holds for new samples.

Promises are of the form "with probability 1 - delta over the draw of the validation samples, a
new sample is ...", for any sample size and any distribution, as long as new samples come from the
same distribution and the scores themselves were not fitted on the rows that are counted here.
Counts of independent events are binomial, so all tests are exact; nothing is asymptotic.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, betainc, betaincinv

from sidekick.errors import SidekickError

METHODS = ("fixed_sequence", "bonferroni")


@dataclass(frozen=True)
class BudgetChoice:
    """A threshold below which samples are deferred.

    Attributes
    ----------
    threshold
        Samples with confidence below it are deferred; -inf defers nothing, +inf everything.
    samples, deferred
        Counts on the given rows.
    upper_bound
        Clopper-Pearson upper bound of the deferral ratio at level 1 - delta, at most the budget;
        0 where nothing is ever deferred.
    """

    threshold: float
    samples: int
    deferred: int
    upper_bound: float


@dataclass(frozen=True)
class AcceptanceChoice:
    """A threshold from which answers are accepted.

    Attributes
    ----------
    threshold
        Samples with confidence of at least it are accepted; -inf accepts everything. None if no
        candidate could be certified.
    samples, accepted, errors
        Counts on the given rows: all, accepted ones and wrong ones among those; where nothing was
        certified, of the candidate that came closest.
    p_value
        Of the hypothesis that accepted answers are right less often than wanted.
    lower_bound
        Clopper-Pearson lower bound of the accuracy of accepted answers at level 1 - delta.
    candidates
        How many thresholds there were to choose from.
    """

    threshold: float | None
    samples: int
    accepted: int
    errors: int
    p_value: float
    lower_bound: float
    candidates: int


def clopper_pearson_upper(
    successes: int | np.ndarray, samples: int | np.ndarray, delta: float
) -> np.ndarray:
    """Give the exact upper confidence bound of a probability (Clopper & Pearson 1934).

    Parameters
    ----------
    successes, samples
        Counts, broadcast against each other.
    delta
        The bound is below the probability with at most this probability.

    Returns
    -------
    ndarray of float64
        The u at which P(Bin(samples, u) <= successes) = delta; 1 if all samples are successes.
    """
    successes, samples = np.asarray(successes, float), np.asarray(samples, float)
    below = successes < samples
    bound = betaincinv(successes + 1, np.where(below, samples - successes, 1.0), 1 - delta)
    return np.where(below, bound, 1.0)


def clopper_pearson_lower(
    successes: int | np.ndarray, samples: int | np.ndarray, delta: float
) -> np.ndarray:
    """Give the exact lower confidence bound: 0 if there are no successes."""
    failures = np.asarray(samples, float) - successes
    return 1.0 - clopper_pearson_upper(failures, samples, delta)


def excess_risk_p_value(errors: np.ndarray, accepted: np.ndarray, accuracy: float) -> np.ndarray:
    """Give the p-value of "accepted answers are right less often than `accuracy`".

    Parameters
    ----------
    errors, accepted
        Counts of wrong and of all accepted answers, of equal shape.
    accuracy
        The wanted accuracy of accepted answers, t.

    Returns
    -------
    ndarray of float64
        P(Bin(accepted, 1 - t) <= errors), which is 1 where nothing is accepted. It is at most
        delta just where the Clopper-Pearson lower bound of the accuracy is at least t.
    """
    return np.where(accepted > 0, bdtr(errors, accepted, 1.0 - accuracy), 1.0)


def budget_threshold(confidence: np.ndarray, ratio: float, delta: float) -> BudgetChoice:
    """Defer as much as a budget surely allows.

    With probability 1 - delta, a new sample is deferred with a probability of at most `ratio`.

    Parameters
    ----------
    confidence
        (n,) the small model's confidence.
    ratio
        The largest wanted deferral ratio, from 0 to 1.
    delta
        How often the promise may fail.

    Returns
    -------
    BudgetChoice
        The largest observed confidence (or +inf) whose deferral ratio has a Clopper-Pearson upper
        bound within the budget; -inf, which defers nothing, if even the first is beyond it.

    Notes
    -----
    No correction for having tried many thresholds is needed, because D(s) = P(confidence < s)
    never falls. Let s* be the largest threshold within budget, D(s*) <= ratio (it exists, for D
    is continuous from the left). The promise fails only if the chosen threshold exceeds s*. Then
    the samples at or below s* are among those that it defers, so their count X had an upper bound
    within the budget; but X is binomial with a probability of at least `ratio`, and such a bound
    has a probability of at most delta. This holds with ties, too.

    Raises
    ------
    SidekickError
        If there are no samples, a confidence is NaN, or `ratio` or `delta` is out of range.
    """
    confidence = _check_confidence(confidence)
    _check_share("ratio", ratio, 0 <= ratio <= 1)
    _check_share("delta", delta, 0 < delta < 1)
    samples = len(confidence)
    thresholds, first = np.unique(np.sort(confidence), return_index=True)
    thresholds, deferred = np.append(thresholds, np.inf), np.append(first, samples)
    within = clopper_pearson_upper(deferred, samples, delta) <= ratio
    if not within.any():
        return BudgetChoice(-np.inf, samples, 0, 0.0)
    chosen = int(np.flatnonzero(within)[-1])
    bound = clopper_pearson_upper(deferred[chosen], samples, delta)
    return BudgetChoice(float(thresholds[chosen]), samples, int(deferred[chosen]), float(bound))


def candidate_thresholds(
    confidence: np.ndarray,
    correct: np.ndarray,
    *,
    accuracy: float,
    samples: int,
    count: int = 200,
) -> np.ndarray:
    """Prepare the thresholds to be tested, from samples other than those they are tested on.

    Parameters
    ----------
    confidence, correct
        (m,) float and (m,) bool: confidences, and whether the answers are right, of rows that
        `accuracy_threshold` will not see.
    accuracy
        The wanted accuracy of accepted answers.
    samples
        How many rows `accuracy_threshold` will see.
    count
        At most how many thresholds to give, -inf aside.

    Returns
    -------
    ndarray of float64
        Thresholds from the most conservative to -inf, which accepts everything. The first is the
        one that would be certified most clearly if the other rows were just like these: the very
        largest confidences are too few for a test to succeed, however right they are.
    """
    confidence = _check_confidence(confidence)
    order = np.argsort(-confidence, kind="stable")
    ranked, wrong = confidence[order], np.cumsum(~np.asarray(correct, dtype=bool)[order])
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    share = samples / len(ranked)
    accepted, errors = (last + 1) * share, wrong[last] * share
    # The binomial distribution function, for counts that scaling has made fractional.
    p_values = betainc(np.maximum(accepted - errors, 1e-9), errors + 1, accuracy)
    start = int(np.argmin(p_values))
    wanted = np.linspace(accepted[start], accepted[-1], count)
    chosen = np.unique(np.searchsorted(accepted, wanted))
    return np.append(ranked[last[chosen]], -np.inf)


def accuracy_threshold(
    confidence: np.ndarray,
    correct: np.ndarray,
    candidates: np.ndarray,
    *,
    accuracy: float,
    delta: float,
    method: str = "fixed_sequence",
) -> AcceptanceChoice:
    """Accept as much as a wanted accuracy of accepted answers surely allows.

    With probability 1 - delta the returned threshold s has P(right | confidence >= s) >= accuracy,
    or there is none. (Where P(confidence >= s) is 0, nothing is accepted and nothing promised.)

    Parameters
    ----------
    confidence
        (n,) the predictor's confidence.
    correct
        (n,) bool, whether its answers are right.
    candidates
        (G,) thresholds in descending order, chosen without these rows; see
        `candidate_thresholds`.
    accuracy
        The wanted accuracy of accepted answers, above 0 and below 1.
    delta
        How often the promise may fail.
    method
        `fixed_sequence` tests candidates in order, each at level delta, and stops at the first
        that fails; `bonferroni` tests all of them at level delta / G.

    Returns
    -------
    AcceptanceChoice
        The lowest certified threshold, or None as threshold.

    Notes
    -----
    This is Learn then Test (Angelopoulos et al. 2021, arXiv 2110.01052) with an exact test; the
    corrected alternative is in the manner of selective classification with guaranteed risk
    (Geifman & El-Yaniv 2017, arXiv 1705.08500). Why it holds:

    * For a fixed threshold, *given how many* samples are accepted, the wrong ones among them are
      binomial with the risk of accepted answers. So P(Bin(accepted, 1 - accuracy) <= errors) is a
      valid p-value of "the risk exceeds 1 - accuracy" given any accepted number, and hence also
      with the random number that there is. Ties change nothing: a threshold accepts all or none.
    * The risk need not fall with the threshold, so that testing one threshold says nothing of
      the next; hence the multiple testing. In a fixed sequence the promise fails only if the
      *first* candidate with too high a risk is rejected, which has a probability of at most
      delta. With Bonferroni's correction each of G has at most delta / G.
    * Both need candidates and an order that do not depend on these rows: order statistics of the
      same confidences would carry knowledge of what is in the accepted set. Hence two parts.

    Raises
    ------
    SidekickError
        If arrays differ in length or are empty, a confidence is NaN, candidates are not in
        descending order, or `accuracy`, `delta` or `method` is not allowed.
    """
    confidence = _check_confidence(confidence)
    correct = np.asarray(correct, dtype=bool)
    if len(correct) != len(confidence):
        raise SidekickError(f"{len(confidence)} confidences, but {len(correct)} answers")
    _check_share("accuracy", accuracy, 0 < accuracy < 1)
    _check_share("delta", delta, 0 < delta < 1)
    candidates = np.asarray(candidates, dtype=np.float64)
    if candidates.size == 0 or not np.all(candidates[1:] < candidates[:-1]):
        raise SidekickError("candidates: expected one or more thresholds in descending order")
    if method not in METHODS:
        raise SidekickError(f"method: {method!r}; allowed are {', '.join(METHODS)}")
    order = np.argsort(confidence)
    ranked = confidence[order]
    wrong_up_to = np.append(0, np.cumsum(~correct[order]))
    first = np.searchsorted(ranked, candidates)
    accepted = len(ranked) - first
    errors = wrong_up_to[-1] - wrong_up_to[first]
    p_values = excess_risk_p_value(errors, accepted, accuracy)
    if method == "fixed_sequence":
        certified = np.flatnonzero(np.logical_and.accumulate(p_values <= delta))
    else:
        certified = np.flatnonzero(p_values <= delta / len(candidates))
    best = int(certified[-1]) if certified.size else int(np.argmin(p_values))
    return AcceptanceChoice(
        threshold=float(candidates[best]) if certified.size else None,
        samples=len(ranked),
        accepted=int(accepted[best]),
        errors=int(errors[best]),
        p_value=float(p_values[best]),
        lower_bound=float(
            clopper_pearson_lower(accepted[best] - errors[best], accepted[best], delta)
        ),
        candidates=len(candidates),
    )


def _check_confidence(confidence: np.ndarray) -> np.ndarray:
    confidence = np.asarray(confidence, dtype=np.float64)
    if confidence.ndim != 1 or confidence.size == 0:
        raise SidekickError(f"confidences of shape {confidence.shape}; expected one per sample")
    missing = np.isnan(confidence)
    if missing.any():
        raise SidekickError(f"the confidence in row {missing.argmax()} is NaN")
    return confidence


def _check_share(name: str, value: float, allowed: bool) -> None:
    if not allowed:
        raise SidekickError(f"{name}: {value}; allowed are probabilities")

"""Metrics of every bootstrap replicate: integer weights over samples sorted or grouped once.

All take ``weights`` of shape (B, n), uint8 or int64, and go through one replicate after the other.
"""

import numpy as np

from sidekick.kernels.compilation import kernel, vector_kernel


@vector_kernel
def weighted_sums(weights, values, sums, totals):
    """Write the sum of each replicate's values, float64 (B,), and of its weights, int64 (B,)."""
    for b in range(weights.shape[0]):
        own = weights[b]
        total, summed = 0, 0.0
        for i in range(own.size):
            total += own[i]
            summed += own[i] * values[i]
        sums[b], totals[b] = summed, total


@kernel
def mean_f1(weights, predicted, label, classes):
    """Average F1 over the classes that a replicate holds: float64 (B,).

    `predicted` and `label` are classes from 0 to `classes` - 1.
    """
    result = np.empty(weights.shape[0])
    occurrences = np.empty(classes, dtype=np.int64)
    hits = np.empty(classes, dtype=np.int64)
    for b in range(weights.shape[0]):
        own = weights[b]
        occurrences[:] = 0
        hits[:] = 0
        for i in range(own.size):
            occurrences[predicted[i]] += own[i]
            occurrences[label[i]] += own[i]
            hits[label[i]] += np.int64(own[i]) * (predicted[i] == label[i])
        total, present = 0.0, 0
        for c in range(classes):
            present += occurrences[c] > 0
            total += 2.0 * hits[c] / max(occurrences[c], 1)
        result[b] = total / present if present else np.nan
    return result


@vector_kernel
def absolute_bin_sums(weights, order, starts, values, sums):
    """Sum the values of each bin and write what the absolute sums add up to: float64 (B,).

    `order` has the samples bin by bin, `values` are in that order, `starts` (bins + 1,) says where
    each bin begins.
    """
    for b in range(weights.shape[0]):
        own = weights[b]
        total = 0.0
        for k in range(starts.size - 1):
            inside = 0.0
            for i in range(starts[k], starts[k + 1]):
                inside += own[order[i]] * values[i]
            total += abs(inside)
        sums[b] = total


@kernel
def ranking_sums(weights, order, is_last, wrong, harmonic, kept, result):
    """Sum what the ranking metrics are made of, most confident sample first.

    Parameters
    ----------
    weights : ndarray of uint8 or int64, shape (B, n)
    order : ndarray of int64, shape (n,)
        Samples by descending confidence.
    is_last, wrong : ndarray of bool, shape (n,)
        In that order: whether a group of equal confidence ends here, and whether it is an error.
    harmonic : ndarray of float64
        Harmonic numbers from 0 up to the largest total of a replicate.
    kept : ndarray of float64, shape (T,)
        Error rates that a selection may have, in descending order.
    result : ndarray of float64, shape (B, 4 + T)
        Written: total; errors; twice the number of pairs in which a correct sample outranks a wrong
        one; sum of the expected error rates of the first k; samples in the largest selection of
        each kind.
    """
    n = order.size
    ranked = np.empty(n, dtype=np.int64)
    for b in range(weights.shape[0]):
        own, out = weights[b], result[b]
        total_wrong = 0
        for i in range(n):
            ranked[i] = own[order[i]]
            total_wrong += ranked[i] * wrong[i]
        members = errors = through = errors_through = pairs = 0
        area = before = 0.0
        alone = True
        for i in range(n):
            members += ranked[i]
            errors += ranked[i] * wrong[i]
            if is_last[i]:
                # With E errors among N samples before a group of m with e errors, of which j have
                # been taken, (E + j e/m)/(N + j) errors are expected: summed over j
                # e + (E - N e/m)(H_{N+m} - H_N). A group that is not drawn adds 0.
                rate = np.float64(wrong[i]) if alone else errors / max(members, 1)
                after = harmonic[through + members]
                area += (errors_through - through * rate) * (after - before)
                before = after
                through += members
                errors_through += errors
                pairs += (members - errors) * (2 * (total_wrong - errors_through) + errors)
                members = errors = 0
            alone = is_last[i]
        out[0], out[1], out[2], out[3] = through, errors_through, pairs, errors_through + area

        # The largest selections: back from all samples, the most permissive kind first.
        kind = 0
        for i in range(n - 1, -1, -1):
            if is_last[i]:
                while kind < kept.size and errors_through <= kept[kind] * through:
                    out[4 + kind] = through
                    kind += 1
                if kind == kept.size:
                    break
            through -= ranked[i]
            errors_through -= ranked[i] * wrong[i]
        out[4 + kind :] = 0


@kernel
def deferral_sums(weights, order, is_last, gain, shares, by_share, area, everything, at):
    """Sum what deferral gains, in a given order of deferral.

    Parameters
    ----------
    weights : ndarray of uint8 or int64, shape (B, n)
    order : ndarray of int64, shape (n,)
        Samples in the order of deferral.
    is_last, gain : ndarray of bool and float64, shape (n,)
        In that order: whether a tie group ends here, and what deferring the sample gains.
    shares : ndarray of float64, shape (R,)
        Deferral ratios.
    by_share : ndarray of int64, shape (R,)
        What sorts them in ascending order, NaN last.
    area, everything : ndarray of float64, shape (B,)
        Written: -sum gain_i (u_i - 1/2) over the total, and the mean gain.
    at : ndarray of float64, shape (R, B)
        Written: the mean gain at each ratio.
    """
    n = order.size
    for b in range(weights.shape[0]):
        own = weights[b]
        total = 0
        for i in range(n):
            total += own[i]
        reached = through = members = 0
        # Samples to be deferred for the next ratio.
        wanted = shares[by_share[0]] * total if shares.size else np.inf
        gained = group_gain = ranks = 0.0
        for i in range(n):
            drawn = np.int64(own[order[i]])
            members += drawn
            group_gain += drawn * gain[i]
            if is_last[i]:
                through += members
                gained += group_gain
                # Twice the mid-rank, so that ranks stay integers.
                ranks += group_gain * (2 * through - members)
                while through >= wanted or (i == n - 1 and reached < shares.size):
                    # Back from the end of the group, along its straight line.
                    slope = group_gain / max(members, 1)
                    at[by_share[reached], b] = gained - slope * (through - wanted)
                    reached += 1
                    wanted = np.inf
                    if reached < shares.size:
                        wanted = shares[by_share[reached]] * total
                members, group_gain = 0, 0.0
        if total:
            everything[b] = gained / total
            area[b] = everything[b] / 2.0 - ranks / 2.0 / total / total
            for r in range(shares.size):
                at[r, b] /= total
        else:
            everything[b] = area[b] = np.nan
            at[:, b] = np.nan


@kernel
def densities(weights, members, left, share, analysis, synthesis):
    """Evaluate the density of some samples in each replicate: float64 (B, G).

    Parameters
    ----------
    weights : ndarray of uint8 or int64, shape (B, n)
    members : ndarray of int64, shape (m,)
        The samples, in ascending order of their place.
    left, share : ndarray of int64 and float64, shape (m,)
        Each sample lies that share of a step above a point.
    analysis : ndarray of float64, shape (points, terms)
        What a sample on each point adds to the terms of the series.
    synthesis : ndarray of float64, shape (terms, G)

    Returns
    -------
    ndarray of float64, shape (B, G)
        NaN where a replicate holds none of the samples.
    """
    points, terms = analysis.shape
    result = np.ones((weights.shape[0], synthesis.shape[1]))
    mass, series = np.empty((_TOGETHER, points + 1)), np.empty((_TOGETHER, terms))
    for start in range(0, weights.shape[0], _TOGETHER):
        block = weights[start : start + _TOGETHER]
        count = block.shape[0]
        mass[:], series[:] = 0.0, 0.0
        for b in range(count):
            if not _spread(block[b], members, left, share, mass[b]):
                result[start + b] = np.nan
        _add_product(mass[:count], analysis, series)
        _add_product(series[:count], synthesis, result[start : start + _TOGETHER])
    # The series may undershoot 0 by rounding where there is no sample near.
    return np.maximum(result, 0.0)


# Replicates that are multiplied with the same few rows of a matrix while these are in the cache.
_TOGETHER = 8


@kernel
def _spread(own, members, left, share, mass):
    """Put a replicate's samples, as shares of all, on the points next to them; False if none."""
    total = 0
    here = above = 0.0
    for i in range(members.size):
        weight = own[members[i]]
        total += weight
        upper = weight * share[i]
        here += weight - upper
        above += upper
        # Neighbours in the list mostly share a point: their sum stays in a register.
        if i + 1 == members.size or left[i + 1] != left[i]:
            mass[left[i]] += here
            mass[left[i] + 1] += above
            here = above = 0.0
    mass /= max(total, 1)
    return total > 0


@vector_kernel
def _add_product(factors, rows, total):
    """Add factors @ rows to the total, four rows at a time."""
    count = rows.shape[0]
    for r in range(0, count - 3, 4):
        first, second, third, fourth = rows[r], rows[r + 1], rows[r + 2], rows[r + 3]
        for b in range(factors.shape[0]):
            own, out = factors[b], total[b]
            one, two, three, four = own[r], own[r + 1], own[r + 2], own[r + 3]
            for t in range(out.size):
                out[t] += one * first[t] + two * second[t] + three * third[t] + four * fourth[t]
    for r in range(count - count % 4, count):
        last = rows[r]
        for b in range(factors.shape[0]):
            out, one = total[b], factors[b, r]
            for t in range(out.size):
                out[t] += one * last[t]

"""Duos with several sidekicks: which ones a budget of compute should buy."""

from collections.abc import Callable, Mapping, Sequence

# From groups of models (the large one first) to the mean NLL of each group on `val`.
Score = Callable[[Sequence[tuple[str, ...]]], Sequence[float]]


def choose_sidekicks(
    larges: Sequence[str],
    costs: Mapping[str, float],
    budgets: Sequence[float],
    score: Score,
    least_gain: float,
) -> dict[tuple[str, float], tuple[str, ...]]:
    """Choose sidekicks greedily for every large model and budget.

    Starting from the large model alone, the sidekick that lowers the validation NLL most is added,
    among those that still fit, until none fits or none helps. All searches advance together, so
    that `score` can fit the weights of all groups of a step in one pass over the logits.

    Parameters
    ----------
    larges
        The large models.
    costs
        Model to GMACs. A sidekick costs at most what its large model does; of models that cost
        the same, the one that comes later by name is the large one.
    budgets
        What a group may cost, as a multiple of its large model's cost.
    score
        Gives the NLL of groups with fitted weights.
    least_gain
        What a sidekick must take off the NLL. With n validation samples 1/n is Akaike's criterion
        for one more weight (1974, "A new look at the statistical model identification"); at 0,
        half of all useless sidekicks would be bought for having fitted the noise.

    Returns
    -------
    dict
        (large, budget) to the large model and its sidekicks, in the order in which they were
        added; the large model alone if nothing fits or helps.
    """
    known: dict[tuple[str, ...], float] = {}

    def learn(groups: Sequence[tuple[str, ...]]) -> None:
        # The order of sidekicks does not matter to a fit.
        new = sorted({_key(group) for group in groups} - set(known))
        known.update(zip(new, score(new), strict=True) if new else ())

    chosen = {(large, budget): (large,) for large in larges for budget in budgets}
    learn(list(chosen.values()))
    growing = set(chosen)
    while growing:
        options = {place: _larger(chosen[place], costs, place[1]) for place in sorted(growing)}
        learn([group for groups in options.values() for group in groups])
        for place, groups in options.items():
            best = min(groups, key=lambda group: (known[_key(group)], group), default=None)
            if best and known[_key(best)] < known[_key(chosen[place])] - least_gain:
                chosen[place] = best
            else:
                growing.remove(place)
    return chosen


def _key(group: tuple[str, ...]) -> tuple[str, ...]:
    return (group[0], *sorted(group[1:]))


def _larger(
    group: tuple[str, ...], costs: Mapping[str, float], budget: float
) -> list[tuple[str, ...]]:
    """Give the groups with one sidekick more that the budget allows."""
    large = group[0]
    # Sums of costs are exact to rounding only.
    left = budget * costs[large] * (1 + 1e-9) - sum(costs[model] for model in group)
    return [
        (*group, model)
        for model in sorted(costs)
        if (costs[model], model) < (costs[large], large)
        and model not in group
        and costs[model] <= left
    ]

"""A few samples and their corruptions: which the accept/ignore rule keeps, and what it answers."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from sidekick.evaluation.mc_dropout_rows import Network
from sidekick.evaluation.run import Evaluation
from sidekick.logit_cache import CachedLogits
from sidekick.methods.dropout_rule import quantile
from sidekick.methods.dropout_sampling import sampled_moments
from sidekick.methods.mc_dropout import deterministic_probabilities, interval_rule

EXAMPLES_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("corruption", pa.string()),
        ("severity", pa.int8()),
        ("label", pa.int32()),
        ("accepted", pa.bool_()),
        ("answer", pa.int32()),
        ("mean", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("deterministic", pa.int32()),
    ]
)
"""`corruption` and `severity` are null for the clean image. `mean`, and the interval from `low` to
`high`, are of the answer's sigmoid; `deterministic` is the answer without dropout."""

_MOST_SAMPLES = 8


def example_rows(
    job: Evaluation, network: Network, passes: int, level: float
) -> Iterator[dict[str, object]]:
    """Show the rule at work on samples of as many classes, drawn at random, of the first seed.

    Parameters
    ----------
    job
        With the network's caches.
    network
        Its heads.
    passes, level
        Of the rule.

    Yields
    ------
    dict
        Rows of `EXAMPLES_SCHEMA`: every sample clean, and with each corruption at its highest
        severity.
    """
    head = network.heads[0]
    clean = job.caches["test"][0][network.recipe]
    shifted = job.caches["shift"][0][network.recipe]
    chosen = _choose(clean, shifted, job.rng())
    parts = [clean.take(np.isin(clean.sample_ids, chosen))]
    if len(shifted):
        is_worst = shifted.severity == shifted.severity.max()
        parts.append(shifted.take(is_worst & np.isin(shifted.sample_ids, chosen)))
    for part in parts:
        moments = sampled_moments(head, part.features, [passes], job.rng())[passes].sigmoids
        accepted, answers = interval_rule(moments, level)
        certain = deterministic_probabilities(head, part.features).argmax(axis=1)
        for row, answer in enumerate(answers):
            mean, std = moments.mean[row, answer], moments.std[row, answer]
            yield {
                "sample_id": part.sample_ids[row],
                "corruption": None if part.corruption is None else part.corruption[row],
                "severity": None if part.severity is None else int(part.severity[row]),
                "label": int(part.labels[row]),
                "accepted": bool(accepted[row]),
                "answer": int(answer),
                "mean": float(mean),
                "low": float(mean - quantile(level) * std),
                "high": float(mean + quantile(level) * std),
                "deterministic": int(certain[row]),
            }


def _choose(clean: CachedLogits, shifted: CachedLogits, rng: np.random.Generator) -> list[str]:
    """Draw samples that are there corrupted, too, one per class as far as there are classes."""
    known = np.isin(clean.sample_ids, shifted.sample_ids) if len(shifted) else slice(None)
    ids, labels = clean.sample_ids[known], clean.labels[known]
    order = rng.permutation(len(ids))
    _, first = np.unique(labels[order], return_index=True)
    return ids[order[first]][:_MOST_SAMPLES].tolist()

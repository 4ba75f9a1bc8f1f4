"""What a predictor and its models answer to every sample of the test set, of one seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from sidekick.artifacts import read_table
from sidekick.errors import SidekickError
from sidekick.leaderboard.headline import Headline
from sidekick.logit_cache.answers import read_answers, require_same_questions
from sidekick.logit_cache.storage import CachedLogits, read_logits, require_same_samples
from sidekick.recipe_names import is_base

# Rows at a time: memory holds no second copy of all logits.
_BLOCK = 8192


@dataclass(frozen=True, eq=False)
class Answered:
    """What one predictor says.

    Attributes
    ----------
    answer
        n positions of classes, or texts.
    confidence
        (n,) float64, higher for surer.
    right
        (n,) bool.
    """

    answer: Sequence[int] | Sequence[str]
    confidence: np.ndarray
    right: np.ndarray


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What is known of every sample.

    Attributes
    ----------
    sample_ids
        n strings.
    labels
        n positions of classes, or texts.
    predictor, large, small
        What the chosen predictor and its models say; of several sidekicks the first. Without a
        small model it is None, and the large model is the predictor.
    gate, threshold
        The small model's (n,) score and the threshold below which its cascade defers; None and NaN
        without a cascade.
    """

    sample_ids: Sequence[str]
    labels: Sequence[int] | Sequence[str]
    predictor: Answered
    large: Answered
    small: Answered | None
    gate: np.ndarray | None
    threshold: float


def outcomes(paths: Mapping[str, str], fits: pl.DataFrame, chosen: Headline) -> Outcomes:
    """Answer the test set with a duo, and with its models alone, temperature-scaled.

    Parameters
    ----------
    paths
        Model to its cached logits.
    fits
        Of the dataset and seed.
    chosen
        A duo, or a model alone.

    Raises
    ------
    SidekickError
        If there are no logits of a model, no fit of the predictor, or the caches are not of the
        same samples.
    """
    smalls = chosen.small.split("+") if chosen.small else []
    large = read_logits(_path(paths, chosen.large))
    others = [require_same_samples(large, read_logits(_path(paths, small))) for small in smalls]
    alone = [
        _answered([cache], [_scale(fits, model)])
        for model, cache in zip([chosen.large, *smalls], [large, *others], strict=True)
    ]
    duo = _answered([large, *others], _weights(fits, chosen, smalls)) if smalls else alone[0]
    threshold = _threshold(fits, chosen, "max_softmax")
    has_cascade = len(smalls) == 1 and threshold is not None
    return Outcomes(
        large.sample_ids.tolist(),
        large.labels.tolist(),
        duo,
        alone[0],
        alone[1] if smalls else None,
        _answered(others, [1.0]).confidence if has_cascade else None,
        threshold if has_cascade else np.nan,
    )


def generated_outcomes(paths: Mapping[str, str], fits: pl.DataFrame, chosen: Headline) -> Outcomes:
    """Give the generated answers of a cascade's models, and of the cascade.

    Parameters and errors are those of `outcomes`; the gate is minus the mean entropy.
    """
    large = read_answers(_path(paths, chosen.large))
    said = _generated(_path(paths, chosen.large), large)
    threshold = _threshold(fits, chosen, "nent")
    small = gate = None
    own = said
    if chosen.small:
        path = _path(paths, chosen.small)
        cache = require_same_questions(large, read_answers(path))
        small, gate = _generated(path, cache), cache.gates["nent"]
        own = _cascade(small, said, gate < (np.nan if threshold is None else threshold))
    return Outcomes(
        large.sample_ids.tolist(),
        large.references.tolist(),
        own,
        said,
        small,
        None if threshold is None else gate,
        np.nan if threshold is None else threshold,
    )


def _path(paths: Mapping[str, str], model: str) -> str:
    if model not in paths:
        raise SidekickError(f"no cached test split of the model '{model}'; there are {list(paths)}")
    return paths[model]


def _scale(fits: pl.DataFrame, model: str) -> float:
    """Give the multiplier of a temperature-scaled model."""
    return _fit(fits, "temperature", "scaled", model, None, "weight_large")


def _weights(fits: pl.DataFrame, chosen: Headline, smalls: Sequence[str]) -> list[float]:
    names = ("duo", chosen.variant, chosen.large, chosen.small)
    weights = [_fit(fits, *names, "weight_large")]
    for small in smalls:
        own = fits.filter(pl.col("sidekick") == small)
        weights.append(_fit(own, *names, "weight_small"))
    return weights


def _threshold(fits: pl.DataFrame, chosen: Headline, gate: str) -> float | None:
    """Give the threshold of the pair's cascade with the fewest deferrals on val."""
    rows = fits.filter(
        pl.col("predictor") == "cascade",
        pl.col("variant").str.contains(rf"^{gate}_defer\d+$"),
        pl.col("large") == chosen.large,
        pl.col("small").eq_missing(chosen.small),
        pl.col("recipe").map_elements(is_base, return_dtype=pl.Boolean),
        pl.col("threshold").is_not_null(),
    ).sort("deferral_ratio", "variant")
    return None if rows.is_empty() else rows["threshold"][0]


def _fit(
    fits: pl.DataFrame, predictor: str, variant: str, large: str, small: str | None, column: str
) -> float:
    rows = fits.filter(
        pl.col("predictor") == predictor,
        pl.col("variant") == variant,
        pl.col("large") == large,
        pl.col("small").eq_missing(small),
        pl.col("recipe").map_elements(is_base, return_dtype=pl.Boolean),
        pl.col(column).is_not_null(),
    )
    if rows.is_empty():
        raise SidekickError(f"the fits have no {column} of {predictor} {variant} of {large}")
    return rows[column][0]


def _answered(caches: Sequence[CachedLogits], weights: Sequence[float]) -> Answered:
    """Combine logits, and give the class and probability of the largest."""
    count = len(caches[0])
    answer, confidence = np.empty(count, np.int64), np.empty(count)
    for first in range(0, count, _BLOCK):
        rows = slice(first, first + _BLOCK)
        logits = _combined([cache.logits[rows] for cache in caches], weights)
        answer[rows] = logits.argmax(axis=1)
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        confidence[rows] = 1 / exponents.sum(axis=1)
    return Answered(answer.tolist(), confidence, answer == caches[0].labels)


def _combined(parts: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Give the weighted sum of (n, C) logits in float64; absent options (-inf) stay absent."""
    absent = np.logical_or.reduce([np.isneginf(part) for part in parts])
    total = sum(
        weight * np.where(absent, 0, part.astype(np.float64))
        for weight, part in zip(weights, parts, strict=True)
    )
    # With all weights 0 nothing is told apart: the large model answers.
    if not np.any(weights):
        total = np.where(absent, 0, parts[0].astype(np.float64))
    return np.where(absent, -np.inf, total)


def _generated(path: str, cache) -> Answered:
    texts = read_table(path, ["sample_id", "prediction"]).to_pydict()
    by_id = dict(zip(texts["sample_id"], texts["prediction"], strict=True))
    answers = [by_id[sample] for sample in cache.sample_ids]
    return Answered(answers, cache.gates["nent"], cache.correct)


def _cascade(small: Answered, large: Answered, deferred: np.ndarray) -> Answered:
    answers = [
        other if is_deferred else own
        for own, other, is_deferred in zip(small.answer, large.answer, deferred, strict=True)
    ]
    return Answered(
        answers,
        np.where(deferred, large.confidence, small.confidence),
        np.where(deferred, large.right, small.right),
    )

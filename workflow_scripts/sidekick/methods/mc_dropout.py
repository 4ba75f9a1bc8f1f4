"""Monte-Carlo dropout through a head, from cached pooled features (arXiv 2403.01076).

All randomness of the network comes after its pooled features, so N stochastic passes re-run the
head only: for a ResNet-50, 50 passes cost under 1 % of one forward pass.
"""

import hashlib
import json
from dataclasses import dataclass, fields, replace
from operator import itemgetter
from pathlib import Path
from typing import Self

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open
from scipy.special import erfinv, expit

from sidekick.artifacts import without_digest
from sidekick.errors import SidekickError

# Of activations: a block of rows stays in the processor's cache through all its passes.
_BLOCK_ELEMENTS = 1 << 18


@dataclass(frozen=True, eq=False)
class Head:
    """BN - dropout - dense ReLU - dropout - dense: the paper's head as plain arrays.

    Attributes
    ----------
    scale, shift
        (F,) the batch norm at inference: features are multiplied and shifted.
    hidden_weight, hidden_bias
        (H, F) and (H,).
    output_weight, output_bias
        (C, H) and (C,).
    dropout
        The rates before the hidden and before the output layer.
    seed
        Of the training run that made it.
    """

    scale: np.ndarray
    shift: np.ndarray
    hidden_weight: np.ndarray
    hidden_bias: np.ndarray
    output_weight: np.ndarray
    output_bias: np.ndarray
    dropout: tuple[float, float]
    seed: int

    def astype(self, dtype: np.typing.DTypeLike) -> Self:
        """Give the head with its arrays in another floating-point type."""
        arrays = {
            field.name: getattr(self, field.name).astype(dtype)
            for field in fields(self)
            if isinstance(getattr(self, field.name), np.ndarray)
        }
        return replace(self, **arrays)

    @property
    def gmacs(self) -> float:
        """Billions of multiply-adds of one pass through the head."""
        return (self.hidden_weight.size + self.output_weight.size + self.scale.size) / 1e9


@dataclass(frozen=True, eq=False)
class PassMoments:
    """Mean and (population) standard deviation of the class sigmoids over passes, (n, C) each."""

    mean: np.ndarray
    std: np.ndarray


def load_head(checkpoint: str | Path) -> Head:
    """Read the head of an `mc_dropout` checkpoint without torch.

    Raises
    ------
    SidekickError
        If the file is damaged or holds no such head, or if it has no dropout to sample.
    """
    try:
        with safe_open(checkpoint, framework="numpy") as file:
            facts = without_digest(json.loads((file.metadata() or {})["sidekick"]), checkpoint)
            tensors = {
                name.removeprefix("head."): file.get_tensor(name).astype(np.float64)
                for name in file.keys()  # noqa: SIM118 (not a mapping)
                if name.startswith("head.")
            }
        if facts.get("digest") != _digest(checkpoint):
            raise SidekickError(
                f"{checkpoint}: its weights are not those that were written. "
                "Delete it and start the run again: its job is then repeated"
            )
        return _head(checkpoint, tensors, int(facts["seed"]))
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise SidekickError(
            f"{checkpoint}: not a checkpoint with an MC-dropout head ({error!r})"
        ) from None


def deterministic_probabilities(head: Head, features: np.ndarray) -> np.ndarray:
    """Give the class sigmoids (n, C) with dropout off: the control."""
    normalised = features * head.scale + head.shift
    hidden = np.maximum(normalised @ head.hidden_weight.T + head.hidden_bias, 0.0)
    return expit(hidden @ head.output_weight.T + head.output_bias)


def interval_rule(
    moments: PassMoments, level: float, threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Apply the paper's accept/ignore rule.

    Each class has the interval mean +- Z std with Z = sqrt(2) erfinv(level). A sample is accepted
    if some class lies wholly above the threshold (classes that straddle it then count as absent),
    or if exactly one class straddles it and none lies above; it is ignored otherwise.

    Parameters
    ----------
    moments
        Of the passes, (n, C): of the sigmoids as in the paper, or of logits if the threshold is
        one too.
    level
        Confidence factor: 0.7, 0.8 or 0.9 in the paper.
    threshold
        On the sigmoid, or on the logit.

    Returns
    -------
    accepted, answer
        (n,) bool and (n,) int. Where several classes lie above, the answer is the one with the
        largest mean (the paper scores such multi-hot answers by micro-F1). Ignored samples carry
        their largest mean.
    """
    margin = np.sqrt(2.0) * erfinv(level) * moments.std
    above = moments.mean - margin > threshold
    straddles = ~above & (moments.mean + margin >= threshold)
    any_above = above.any(axis=1)
    one_straddles = ~any_above & (straddles.sum(axis=1) == 1)
    answer = moments.mean.argmax(axis=1)
    answer = np.where(any_above, np.where(above, moments.mean, -np.inf).argmax(axis=1), answer)
    answer = np.where(one_straddles, straddles.argmax(axis=1), answer)
    return any_above | one_straddles, answer


def _digest(checkpoint: str | Path) -> str:
    """Hash the tensors as `sidekick.models.checkpoints` does, which records it in the file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(deserialize(Path(checkpoint).read_bytes()), key=itemgetter(0)):
        digest.update(name.encode())
        digest.update(tensor["data"])
    return digest.hexdigest()


def _head(checkpoint: str | Path, tensors: dict[str, np.ndarray], seed: int) -> Head:
    scale = tensors["norm.weight"] / np.sqrt(tensors["norm.running_var"] + tensors["norm_eps"])
    first, second = tensors["dropout"].tolist()
    if not (0 <= first < 1 and 0 <= second < 1):
        raise SidekickError(f"{checkpoint}: dropout rates {first} and {second}; allowed is [0, 1)")
    if first == second == 0:
        raise SidekickError(f"{checkpoint}: both dropout rates are 0, nothing is random")
    return Head(
        scale=scale,
        shift=tensors["norm.bias"] - tensors["norm.running_mean"] * scale,
        hidden_weight=tensors["hidden.weight"],
        hidden_bias=tensors["hidden.bias"],
        output_weight=tensors["output.weight"],
        output_bias=tensors["output.bias"],
        dropout=(first, second),
        seed=seed,
    )

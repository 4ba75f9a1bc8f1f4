"""The settings of a Gatekeeper training.

Used while Snakemake parses the workflow, so it imports nothing heavy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sidekick.errors import SidekickError

NORMALISATIONS = ("batch", "subset")
DIVERGENCES = ("p_uniform", "uniform_p")

_ALLOWED = {
    "normalisation": NORMALISATIONS,
    "divergence": DIVERGENCES,
    "correctness": ("live", "cross_fitted"),
    "targets": ("labels", "large"),
    "anchor_targets": ("labels", "large"),
}


def require_allowed(settings: Any, allowed: Mapping[str, Sequence[str]]) -> None:
    """Refuse settings whose attributes have other values than allowed, or a negative `anchor`.

    Raises
    ------
    SidekickError
        With key, value and what is allowed.
    """
    for key, values in allowed.items():
        if getattr(settings, key) not in values:
            raise SidekickError(
                f"gatekeeper.{key}: '{getattr(settings, key)}'; allowed are {list(values)}"
            )
    if settings.anchor < 0:
        raise SidekickError(f"gatekeeper.anchor: {settings.anchor}; it must be at least 0")


@dataclass(frozen=True)
class GatekeeperSettings:
    """The choices that the paper leaves open or makes; defaults are the paper's.

    Attributes
    ----------
    normalisation, divergence
        See `sidekick.training.gatekeeper_loss.gatekeeper_loss`.
    correctness
        `live`: the network's own, at every step. `cross_fitted`: frozen, that of networks that
        have not seen the sample; see `sidekick.training.cross_fitting`.
    folds
        Number of those networks.
    targets
        `labels`, or `large` for the large model's soft outputs, which then also decide what is
        right.
    anchor
        λ: weight of a cross-entropy on all samples that is added to the loss.
    anchor_targets
        `labels`, or `large`: against the large model's soft outputs this is distillation at
        temperature 1, up to a constant.
    """

    normalisation: str = "batch"
    divergence: str = "p_uniform"
    correctness: str = "live"
    folds: int = 5
    targets: str = "labels"
    anchor: float = 0.0
    anchor_targets: str = "labels"

    @property
    def asks_large(self) -> bool:
        """Whether the large model takes part."""
        return self.targets == "large" or (self.anchor > 0 and self.anchor_targets == "large")

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> "GatekeeperSettings":
        """Read the block `gatekeeper` of a recipe, and check it with the rest of the recipe.

        Raises
        ------
        SidekickError
            If a value is not allowed or does not go with another; with both.
        """
        settings = cls(**recipe.get("gatekeeper", {}))
        require_allowed(settings, _ALLOWED)
        settings._require_agreement(recipe)
        return settings

    def _require_agreement(self, recipe: Mapping[str, Any]) -> None:
        """Refuse settings of the training, its own or inherited, that do not go with these."""
        stopping = recipe.get("early_stopping")
        parts = recipe.get("accumulation", 1)
        mixup = recipe.get("augmentation", {}).get("mixup", 0)
        for key, value, is_refused, reason in (
            (
                "early_stopping",
                stopping,
                stopping is not None,
                "all recipes of a sweep take the same steps; leave it out",
            ),
            (
                "accumulation",
                parts,
                self.normalisation == "subset" and parts > 1,
                "'normalisation: subset' needs whole batches; allowed is 1",
            ),
            (
                "augmentation.mixup",
                mixup,
                self.correctness == "cross_fitted" and mixup > 0,
                "a blend of two images has no cross-fitted correctness; allowed is 0",
            ),
        ):
            if is_refused:
                raise SidekickError(f"gatekeeper.training.{key}: {value}, but {reason}")

"""The settings of a Gatekeeper training of a language model.

Used while Snakemake parses the workflow, so it imports nothing heavy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sidekick.errors import SidekickError
from sidekick.training.gatekeeper_settings import DIVERGENCES, NORMALISATIONS, require_allowed

_ALLOWED = {
    "normalisation": NORMALISATIONS,
    "divergence": DIVERGENCES,
    "over": ("vocabulary", "options"),
}


@dataclass(frozen=True)
class LanguageGatekeeperSettings:
    """The choices that the paper leaves open or makes; defaults are the paper's.

    Attributes
    ----------
    normalisation, divergence
        See `sidekick.training.gatekeeper_loss.token_gatekeeper_loss`.
    anchor
        λ: weight of a cross-entropy of all tokens that is added to the loss.
    over
        `vocabulary`: each token of the answer is a choice among the whole vocabulary. `options`:
        the answer is a choice among the item's options, which must be single tokens; then the
        distribution that is made unsure is the one that decides, and its uncertainty counts.
    """

    normalisation: str = "batch"
    divergence: str = "p_uniform"
    anchor: float = 0.0
    over: str = "vocabulary"

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> "LanguageGatekeeperSettings":
        """Read the block `gatekeeper` of a recipe, and check it with the rest of the recipe.

        Raises
        ------
        SidekickError
            If a key or value is not allowed or does not go with another; with both.
        """
        block = recipe.get("gatekeeper", {})
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(block) - set(known)):
            raise SidekickError(
                f"gatekeeper.{unknown[0]}: is not known of language models; allowed are {known}"
            )
        settings = cls(**block)
        require_allowed(settings, _ALLOWED)
        parts = recipe.get("accumulation", 1)
        if settings.normalisation == "subset" and parts > 1:
            raise SidekickError(
                f"gatekeeper.training.accumulation: {parts}, but 'normalisation: subset' needs "
                "whole batches; allowed is 1"
            )
        return settings

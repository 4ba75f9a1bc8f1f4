"""What the recipes of a Gatekeeper sweep are compared with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sidekick.evaluation.identity import Identity, Member, joined_recipe
from sidekick.evaluation.run import Candidate
from sidekick.recipe_names import CE_CONTROL


@dataclass(frozen=True)
class SweepControls:
    """The controls of one sweep.

    Attributes
    ----------
    untuned
        What the sweep started from.
    others
        The cross-entropy control and whatever else is compared with `untuned` only.
    large
        The large model's recipe.
    start_is_ours
        Whether no other job writes the cascades from `untuned`.
    remarks
        Member to what is to be known about it, or None.
    """

    untuned: Member
    others: Sequence[Member]
    large: str
    start_is_ours: bool
    remarks: Mapping[Member, str | None]

    def compared(
        self, member: Member, candidates: Mapping[Identity, Candidate]
    ) -> Iterator[tuple[Identity, Candidate]]:
        """Give a recipe's candidates their controls; those of the start are not published.

        What is compared with the control is there again for `untuned`, as the variant
        `…_vs_untuned`, unless it is a cascade at one threshold.
        """
        if member == self.untuned:
            for identity, candidate in candidates.items():
                if not self.start_is_ours or identity.small is None:
                    candidate = replace(candidate, baseline=None, published=False)
                yield identity, candidate
            return
        is_control = member in self.others
        for identity, candidate in candidates.items():
            noted = replace(candidate, remark=self.remarks.get(member))
            if identity.variant.startswith(("random", "oracle")):
                # Not the recipe, but chance or the labels decide; yet these are others' controls.
                yield identity, noted
                continue
            untuned = self._counterpart(identity, self.untuned.recipe)
            if is_control:
                yield identity, replace(noted, baseline=untuned)
                continue
            yield identity, replace(noted, baseline=self._counterpart(identity, CE_CONTROL))
            if candidate.gmacs is None or identity.small is None:
                again = identity._replace(variant=f"{identity.variant}_vs_untuned")
                yield again, replace(noted, baseline=untuned)

    def _counterpart(self, identity: Identity, recipe: str) -> Identity:
        """Name the same of another recipe of the small model."""
        if identity.small is not None:
            recipe = joined_recipe(self.large, recipe)
        return identity._replace(recipe=recipe)

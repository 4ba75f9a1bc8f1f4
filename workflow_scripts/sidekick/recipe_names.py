"""Names of recipes that other parts of the pipeline must know; imports nothing."""

BASE_RECIPES = ("finetune", "imported")
"""How a model comes about in the first place: its other recipes are measured against this one."""

TRIAL_ENSEMBLE = "trial_ensemble"
"""The mean probabilities of the best trials of a search."""

CE_CONTROL = "ce_control"
"""The control of a Gatekeeper sweep: cross-entropy, and else the same."""

MC_DROPOUT = "mc_dropout"
"""A frozen network with a head whose dropout is sampled, in float32."""

MC_DROPOUT_INT8 = "mc_dropout_int8"
"""The same after quantisation."""

PASSES = "passes"
"""No weights of its own: what stochastic passes of a whole fine-tuned network say."""

GATEKEEPER_CHOSEN = "gatekeeper_chosen"
"""Of the alphas of a sweep the one that each seed's `val` chose."""


HEDGE = "hedge_"
"""Begins the recipes that only ask a fine-tuned language model, in words, to be careful."""


def is_hedged(recipe: str) -> bool:
    """Tell recipes that add a sentence to the prompt and nothing else."""
    return recipe.startswith(HEDGE)


def is_base(recipe: str) -> bool:
    """Tell whether a predictor's recipe is the base one of all its models."""
    return all(part in BASE_RECIPES for part in recipe.split("+"))

"""The names of what a Gatekeeper sweep trains.

Used while Snakemake parses the workflow, so it imports nothing heavy.
"""

from collections.abc import Sequence

from sidekick.errors import SidekickError
from sidekick.recipe_names import CE_CONTROL


def sweep_recipes(alphas: Sequence[float]) -> dict[str, float | None]:
    """Map the name of each recipe of a sweep to its alpha; the control, which has none, is last.

    Parameters
    ----------
    alphas
        Between 0 and 1, of at most two decimals and no two alike: 0.3 is named `gatekeeper_a30`.

    Raises
    ------
    SidekickError
        If two would have the same name, or an alpha is not what its name says.
    """
    recipes: dict[str, float | None] = {}
    for alpha in alphas:
        percent = round(100 * alpha)
        name = f"gatekeeper_a{percent:02d}"
        if not 0 < percent < 100 or abs(100 * alpha - percent) > 1e-6 or name in recipes:
            raise SidekickError(
                f"gatekeeper.alphas: {list(alphas)}; allowed are different values of two decimals "
                "between 0.01 and 0.99"
            )
        recipes[name] = alpha
    return {**recipes, CE_CONTROL: None}

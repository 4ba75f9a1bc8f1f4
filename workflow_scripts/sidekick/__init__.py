"""Sidekick: know when a model is wrong, for how much compute."""

from importlib import import_module

__version__ = "0.1.0"


def load(path):
    """Load a deployed predictor; needs numpy alone. See `sidekick.deployment.predictor.load`."""
    # Here, because the workflow imports this package while it parses the config; and by name,
    # because jobs, all of which import this package, do not depend on what loads predictors.
    return import_module("sidekick.deployment.predictor").load(path)

"""Sidekick: know when a model is wrong, for how much compute."""

__version__ = "0.1.0"

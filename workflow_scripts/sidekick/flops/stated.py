"""The compute of a model that ran elsewhere: what its owner says."""

from collections.abc import Mapping
from pathlib import Path

from sidekick.artifacts import software, write_json


def state_flops(*, gmacs: float, output: str | Path, facts: Mapping[str, object]) -> None:
    """Write stated GMACs as JSON in the form of counted ones, without their details.

    Parameters
    ----------
    gmacs
        10⁹ multiply-adds of one sample.
    output
        The file to write.
    facts
        Benchmark, dataset, model and so on.
    """
    origin = {"gmacs": float(gmacs), "stated": True}
    write_json({**origin, "facts": {**facts, **software()}}, output)

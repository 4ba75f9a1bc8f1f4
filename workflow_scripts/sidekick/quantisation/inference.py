"""Run an ONNX file of ours: onnxruntime and numpy, no torch in the process."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from sidekick.errors import SidekickError
from sidekick.quantisation.storage import FACTS_KEY, read_network


@dataclass(frozen=True, eq=False)
class Network:
    """An exported network that is ready to run.

    Attributes
    ----------
    facts
        What `sidekick.quantisation.quantise` says about it: among others `kind` (`float32` or
        `int8`), `classes`, `preprocessing`, `seed`, `calibration`.
    source
        The file.
    session
        ONNX Runtime's.
    """

    facts: dict[str, Any]
    source: str
    session: onnxruntime.InferenceSession

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        return tuple(self.session.get_inputs()[0].shape[1:])

    def run(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classify a batch.

        Parameters
        ----------
        pixels
            (n, H, W, 3) uint8 RGB of the network's size.

        Returns
        -------
        features, logits
            (n, F) and (n, C) float32.

        Raises
        ------
        SidekickError
            If the images are of another shape or type, or an output is not finite.
        """
        if pixels.dtype != np.uint8 or pixels.shape[1:] != self.input_shape:
            raise SidekickError(
                f"{self.source}: images of shape {pixels.shape[1:]} and type {pixels.dtype}; it "
                f"reads {self.input_shape} of uint8"
            )
        features, logits = self.session.run(
            ["features", "logits"], {"pixels": np.ascontiguousarray(pixels)}
        )
        finite = np.isfinite(logits).all(axis=1) & np.isfinite(features).all(axis=1)
        if not finite.all():
            raise SidekickError(
                f"{self.source}: the output of image {finite.argmin()} of a batch is not finite"
            )
        return features, logits

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Classify batch after batch; memory holds one of them."""
        return map(self.run, batches)


def load_network(path: str | Path, threads: int = 1) -> Network:
    """Load a file that `sidekick.quantisation.quantise` wrote.

    Parameters
    ----------
    path
        The file, of either kind.
    threads
        That compute; with 1, the calling thread does.

    Raises
    ------
    SidekickError
        If the file is missing, damaged, changed, or no network of ours; the message names it.
    """
    content = read_network(path)
    try:
        session = onnxruntime.InferenceSession(
            content, session_options(threads), providers=["CPUExecutionProvider"]
        )
        facts = json.loads(session.get_modelmeta().custom_metadata_map[FACTS_KEY])
        outputs = {output.name: output.shape for output in session.get_outputs()}
        fits = (
            [(given.name, given.type) for given in session.get_inputs()]
            == [("pixels", "tensor(uint8)")]
            and set(outputs) == {"features", "logits"}
            and outputs["logits"][1] == facts["classes"]
        )
    except Exception as error:
        # ONNX Runtime has a dozen kinds of exceptions, all of them its own.
        raise SidekickError(f"{path}: not a network of Sidekick ({error})") from None
    if not fits:
        raise SidekickError(
            f"{path}: not a network from `pixels` to `features` and {facts['classes']} `logits`; "
            f"its outputs are {outputs}"
        )
    return Network(facts, str(path), session)


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Give ONNX Runtime's options for this many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if _saturates():
        # To compute, slower, the sums that other processors give.
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


@cache
def _saturates() -> bool:
    """Say whether this processor adds products of uint8 and int8 in 16 bits, which overflow.

    Those of the x86 kind without VNNI do. Elsewhere than on Linux we cannot know, and assume not.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), set())
    return "sse2" in flags and not flags & {"avx512_vnni", "avx_vnni"}

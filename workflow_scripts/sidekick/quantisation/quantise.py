"""Static post-training quantisation by ONNX Runtime: unsigned activations, signed weights."""

import hashlib
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from sidekick.artifacts import software, write_json
from sidekick.methods.mc_dropout import load_head
from sidekick.models.checkpoints import Description, describe
from sidekick.models.loading import load_model
from sidekick.models.preprocessing import Preprocessing
from sidekick.quantisation.calibration import drawn_images
from sidekick.quantisation.graph import append_head, export_backbone, last_layer
from sidekick.quantisation.layer_errors import layer_errors, worst, write_layer_errors
from sidekick.quantisation.storage import write_network

_log = logging.getLogger("sidekick")

# What is computed in int8, of networks without normalisation over features ...
_OPERATORS = (
    "Add", "AveragePool", "Clip", "Concat", "Conv", "Flatten", "Gemm", "GlobalAveragePool",
    "MatMul", "MaxPool", "Mul", "Pad", "Relu", "Reshape", "Sigmoid", "Transpose",
)  # fmt: skip
# ... and of those with it, transformers and their like: these let the sums that pass from block
# to block, and values between softmax or normalisation and the next product, range over orders of
# magnitude. In int8 those sums leave a class token of a ViT with 8 dB, in float with 28.
_PRODUCTS = ("Conv", "Gemm", "MatMul")


def quantise_checkpoint(
    *,
    checkpoint: str | Path,
    dataset_folder: str | Path,
    calibration_images: int,
    seed: int,
    float_file: str | Path,
    int8_file: str | Path,
    errors: str | Path,
    report: str | Path,
    threads: int,
    facts: Mapping[str, object],
    error_images: int = 64,
    batch_size: int = 16,
) -> None:
    """Export a checkpoint, quantise it, and say what that cost.

    Parameters
    ----------
    checkpoint
        A fine-tuned network, with or without an MC-dropout head.
    dataset_folder
        A prepared dataset.
    calibration_images
        How many images of `train` set the ranges of activations.
    seed
        Whose splits to read; it decides which images too.
    float_file, int8_file
        Where the ONNX files go; see `sidekick.quantisation.inference`.
    errors
        Where the table of `sidekick.quantisation.layer_errors` goes (Parquet), measured on
        `error_images` images of `val`.
    report
        Where the summary goes (JSON): `float_bytes`, `int8_bytes`, `size_ratio` (of the files on
        disk), `calibration` and `worst_layers`.
    threads
        For measuring the errors.
    facts
        Metadata of the files.
    batch_size
        Images per pass, of which measuring the errors holds every activation in memory, twice.

    Raises
    ------
    SidekickError
        If the checkpoint or the dataset is unreadable, the network cannot be exported, or its
        head has nothing random.

    Notes
    -----
    The files are the same, byte by byte, when made again by the same software.
    """
    description = describe(checkpoint)
    preprocessing = Preprocessing(**description.preprocessing)

    def images(split: str, count: int) -> Iterator[np.ndarray]:
        return drawn_images(dataset_folder, split, seed, count, preprocessing, batch_size)

    model = load_model(checkpoint, torch.device("cpu"))
    head = load_head(checkpoint) if description.head is not None else last_layer(model)
    backbone = export_backbone(model, preprocessing)
    counted = _Counted(images("train", calibration_images))
    quantised = quantise_backbone(backbone, counted)
    calibration = {"split": "train", "images": counted.images, "seed": seed, "method": "min-max"}
    own = _facts(checkpoint, description, facts)
    as_float = append_head(backbone, head, int8=False)
    as_int8 = append_head(quantised, head, int8=True)
    float_bytes = _write(float_file, as_float, {**own, "kind": "float32"})
    int8_bytes = _write(int8_file, as_int8, {**own, "kind": "int8", "calibration": calibration})
    rows = layer_errors(as_float, as_int8, images("val", error_images), threads)
    write_layer_errors(rows, errors, facts)
    _log.info(
        "%s: %d bytes in float32, %d in int8; calibrated on %d images",
        description.entry["architecture"], float_bytes, int8_bytes, counted.images,
    )  # fmt: skip
    summary = {
        "float_bytes": float_bytes,
        "int8_bytes": int8_bytes,
        "size_ratio": float_bytes / int8_bytes,
        "calibration": calibration,
        "worst_layers": [row.as_dict() for row in worst(rows)],
    }
    write_json(summary, report)


def quantise_backbone(backbone: onnx.ModelProto, batches: Iterable[np.ndarray]) -> onnx.ModelProto:
    """Quantise a graph of `export_backbone`.

    Parameters
    ----------
    backbone
        It is left as it is.
    batches
        Images (n, H, W, 3) uint8 for calibration; each batch is dropped when it has passed.

    Returns
    -------
    onnx.ModelProto
        QDQ form: activations uint8 with one range per tensor (smallest to largest value seen),
        weights int8 with one scale per output channel, biases int32.
    """
    with tempfile.TemporaryDirectory() as folder:
        # Handed the graph itself, ONNX Runtime would move its weights out to a file.
        given, path = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(backbone, given)
        quantize_static(
            given,
            path,
            _Reader(batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_operators(backbone)),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load(path)


def _operators(backbone: onnx.ModelProto) -> tuple[str, ...]:
    normalises = any(node.op_type == "LayerNormalization" for node in backbone.graph.node)
    return _PRODUCTS if normalises else _OPERATORS


class _Reader(CalibrationDataReader):
    def __init__(self, batches: Iterable[np.ndarray]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"pixels": batch}


class _Counted:
    """Batches, and how many images have passed."""

    def __init__(self, batches: Iterable[np.ndarray]) -> None:
        self._batches = batches
        self.images = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for batch in self._batches:
            self.images += len(batch)
            yield batch


def _facts(
    checkpoint: str | Path, description: Description, facts: Mapping[str, object]
) -> dict[str, Any]:
    return {
        "checkpoint_sha256": hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest(),
        "classes": description.classes,
        "entry": dict(description.entry),
        "facts": dict(facts),
        "head": description.head,
        "preprocessing": dict(description.preprocessing),
        "recipe": dict(description.recipe),
        "seed": description.seed,
        "scheme": "QDQ, activations uint8 per tensor, weights int8 per channel",
        "software": {
            **software(),
            **{name: metadata.version(name) for name in ("onnx", "onnxruntime")},
        },
    }


def _write(path: str | Path, graph: onnx.ModelProto, facts: Mapping[str, Any]) -> int:
    if facts["kind"] == "float32":
        facts = {key: value for key, value in facts.items() if key != "scheme"}
    return write_network(path, graph.SerializeToString(deterministic=True), facts)

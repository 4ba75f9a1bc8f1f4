"""Whatever bytes a file holds, readers give the declared error or a result, and nothing else.

Bounded and the same in every run: hypothesis draws from the tests' own names.
"""

import copy
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import sidekick
from faults.test_damage import (
    save_checkpoint,
    save_flops,
    save_logits,
    save_network,
)
from sidekick.artifacts import read_facts, read_json
from sidekick.config import check_file, validate
from sidekick.deployment.predictor import Predictor, PredictorError
from sidekick.errors import SidekickError
from sidekick.logit_cache import read_logits
from sidekick.logit_cache.importing import import_logits
from sidekick.methods.mc_dropout import load_head
from sidekick.models.checkpoints import describe, read_checkpoint
from sidekick.models.loading import load_model
from sidekick.quantisation.storage import read_network
from unit.deployment.predictors import write as write_predictor

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "rules" / "schemas" / "config.schema.yaml"
SHIPPED = [ROOT / "config.yaml", *sorted((ROOT / "configs").glob("*.yaml"))]


def bounded(examples):
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


# ------------------------------------------------------------------------------- configuration

TEXTS = st.text(max_size=8) | st.sampled_from(
    ["../x", "a b", "$(touch x)", "'", '"', "<b>", "é", "\x00", "-", "a/b", "~", "{seed}", "*"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | SCALARS, inner, max_size=3),
    max_leaves=6,
)
CONFIGS = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in SHIPPED]


@st.composite
def mutated_configs(draw):
    """A shipped configuration of which a few places were replaced, removed or added to."""
    config = copy.deepcopy(draw(st.sampled_from(CONFIGS)))
    for _ in range(draw(st.integers(1, 3))):
        holder = config
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inside = holder[key]
            if isinstance(inside, dict | list) and inside and draw(st.integers(0, 3)):
                holder = inside
                continue
            change = draw(st.sampled_from(["replace", "remove", "add"]))
            if change == "replace":
                holder[key] = draw(VALUES)
            elif change == "remove":
                del holder[key]
            elif isinstance(holder, dict):
                holder[draw(TEXTS | SCALARS)] = draw(VALUES)
            else:
                holder.append(draw(VALUES))
            break
    return config


@bounded(100)
@given(mutated_configs())
def test_a_changed_configuration_is_valid_or_refused_in_one_line(config):
    try:
        validate(config, SCHEMA)
    except SidekickError as error:
        require(str(error) and "\n" not in str(error), error)


@bounded(80)
@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 8))
@example(b"!!python/object/apply:os.system ['touch x']", 0, 0)
@example(b"a: &a [*a, *a]\n", 0, 0)
@example(b"? [a, b]\n: 1\n", 0, 0)
@example(b"\xff\xfe", 0, 0)
@example(b"seeds: [" + b"[" * 3000, 0, 8)
@example(b"d: 2001-99-99\n", 0, 0)
def test_a_configuration_file_of_any_bytes_is_read_or_refused(tmp_path_factory, some, at, cut):
    content = SHIPPED[1].read_bytes()
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_bytes(content[:at] + some + content[at + cut :])
    refused_or_read(check_file, path)


# -------------------------------------------------------------------------------------- files


def require(is_told, error):
    assert is_told, error


def refused_or_read(read, path, declared=SidekickError):
    """Read a file; a declared error must name it."""
    try:
        return read(path)
    except declared as error:
        require(path.name in str(error), error)
        return None


def save_npz(path):
    values = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    np.savez(
        path, logits=values, labels=np.arange(8) % 3, ids=np.array([f"s{n}" for n in range(8)])
    )


def save_csv(path):
    rows = [f"s{n},{n % 3},{n / 7:.3f},{-n / 3:.3f},0.5" for n in range(8)]
    path.write_text("\n".join(["id,label,c0,c1,c2", *rows]) + "\n")


def save_foreign_parquet(path):
    values = [[float(n), 0.5, -1.0] for n in range(8)]
    ids = [f"s{n}" for n in range(8)]
    pq.write_table(pa.table({"id": ids, "label": np.arange(8) % 3, "logits": values}), path)


def imported(path):
    folder = path.parent / "cache"
    outputs = {split: folder / f"{split}.parquet" for split in ("val", "test", "shift")}
    import_logits(files={"test": path}, outputs=outputs, facts={"model": "mine"}, val_share=0.5)


def predictor(path):
    loaded = sidekick.load(path)
    logits = np.linspace(-1, 1, 2 * loaded.classes).reshape(2, -1) if loaded.classes < 99 else None
    return logits is None or loaded(logits, [])


READERS = {
    "logits.parquet": (save_logits, [read_logits, read_facts], SidekickError),
    "flops.json": (save_flops, [read_json], SidekickError),
    "weights.safetensors": (save_checkpoint, [read_checkpoint, describe, load_head], SidekickError),
    "network.onnx": (save_network, [read_network], SidekickError),
    "foreign.npz": (save_npz, [imported], SidekickError),
    "foreign.csv": (save_csv, [imported], SidekickError),
    "foreign.parquet": (save_foreign_parquet, [imported], SidekickError),
    "predictor.json": (
        lambda path: write_predictor(path, "temperature"),
        [predictor],
        PredictorError,
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_with_changed_bytes_is_read_or_refused(tmp_path, name):
    save, readers, declared = READERS[name]
    path = tmp_path / name
    save(path)
    content = path.read_bytes()

    @bounded(60)
    @given(
        st.lists(
            st.tuples(st.integers(0, len(content)), st.integers(0, 12), st.binary(max_size=6)),
            min_size=1,
            max_size=3,
        )
    )
    def change(edits):
        changed = content
        for at, cut, some in edits:
            changed = changed[:at] + some + changed[at + cut :]
        path.write_bytes(changed)
        for read in readers:
            refused_or_read(read, path, declared)

    change()


@pytest.mark.parametrize("name", READERS)
def test_a_file_of_any_bytes_is_read_or_refused(tmp_path, name):
    _, readers, declared = READERS[name]
    path = tmp_path / name

    @bounded(40)
    @given(st.binary(max_size=200))
    def change(content):
        path.write_bytes(content)
        for read in readers:
            refused_or_read(read, path, declared)

    change()


# --------------------------------------------------------- what is whole, but says something else


def test_a_checkpoint_that_says_anything_is_read_or_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_checkpoint(path)
    _, tensors = read_checkpoint(path)
    content = json.loads(_metadata(path))
    content.pop("sha256")

    @bounded(80)
    @given(st.sampled_from(sorted(content)), VALUES)
    def change(key, value):
        changed = {**content, key: value}
        try:
            text = json.dumps(changed, skipkeys=True)
            text.encode()
        except (ValueError, UnicodeEncodeError):
            return
        save_file(tensors, path, metadata={"sidekick": text})
        for read in (describe, read_checkpoint, load_head, load_on_cpu):
            refused_or_read(read, path)

    change()


def load_on_cpu(path):
    return load_model(path, torch.device("cpu"))


def _metadata(path):
    header = path.read_bytes()
    length = int.from_bytes(header[:8], "little")
    return json.loads(header[8 : 8 + length])["__metadata__"]["sidekick"]


def test_a_predictor_that_says_anything_is_loaded_or_refused(tmp_path):
    path = tmp_path / "predictor.json"
    for kind in ("duo_cascade", "temperature"):
        document = write_predictor(path, kind).document
        change_predictor(document)


def change_predictor(document):
    @bounded(100)
    @given(st.sampled_from(sorted(document)), VALUES, st.booleans())
    def change(key, value, inside):
        changed = copy.deepcopy(document)
        if inside and isinstance(changed[key], dict) and changed[key]:
            changed[key][sorted(changed[key])[0]] = value
        else:
            changed[key] = value
        try:
            repr(Predictor(changed, "predictor.json"))
        except PredictorError as error:
            require("predictor.json" in str(error), error)

    change()


@bounded(60)
@given(
    st.sampled_from([np.float16, np.float64, np.int8, np.complex64, "<U3", bool, "M8[s]", object]),
    st.lists(st.integers(0, 4), max_size=3),
    st.sampled_from([np.float32, np.int64, "<U2", bool, np.uint8]),
    st.lists(st.integers(0, 4), max_size=2),
)
def test_archives_of_any_arrays_are_imported_or_refused(
    tmp_path_factory, kind, shape, other, width
):
    path = tmp_path_factory.mktemp("npz") / "foreign.npz"
    buffer = io.BytesIO()
    np.savez(buffer, logits=np.zeros(shape, kind), labels=np.ones(width, other))
    path.write_bytes(buffer.getvalue())
    refused_or_read(imported, path)

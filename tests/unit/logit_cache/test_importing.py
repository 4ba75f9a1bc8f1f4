"""Bring your own logits: every format, every refusal, and real files."""

import io
import logging
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import log_softmax, softmax

import sidekick
from sidekick.artifacts import read_facts
from sidekick.errors import SidekickError
from sidekick.logit_cache import ShiftCell, read_logits, require_same_samples
from sidekick.logit_cache.import_checks import FLOOR
from sidekick.logit_cache.importing import import_logits
from sidekick.methods import duo
from sidekick.methods.ensemble import ensemble
from sidekick.methods.prediction import Prediction
from sidekick.methods.temperature import fit_temperature, scale
from sidekick.metrics import Resampler, evaluate_statistics, intervals
from unit.logit_cache.samples import make_columns, write
from unit.methods.data import REAL

N, C = 60, 4
SPLITS = ("val", "test", "shift")


def make(n=N, classes=C, seed=0):
    """Float32 logits and int64 labels, every class among them."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, classes)).astype(np.float32) * 3, np.arange(n) % classes


def run(folder, test, **options):
    """Import files into `folder` and read what was written."""
    outputs = {split: folder / "cache" / f"{split}.parquet" for split in SPLITS}
    arguments = {
        "files": {"test": test, **options.pop("files", {})},
        "outputs": outputs,
        "facts": {"dataset": "toy", "model": "mine", "recipe": "imported", "seed": 0},
    }
    if "val" not in arguments["files"]:
        arguments["val_share"] = 0.5
    import_logits(**{**arguments, **options})
    return {split: read_logits(path) for split, path in outputs.items()}


def save_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def save_parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def save_csv(path, header, columns):
    lines = [",".join(header)] if header else []
    lines += [",".join(map(repr_of, row)) for row in zip(*columns, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def repr_of(value):
    return value if isinstance(value, str) else str(value)


def whole(caches):
    """The rows of val and test together, by id."""
    ids = np.concatenate([caches[split].sample_ids for split in ("val", "test")])
    logits = np.concatenate([caches[split].logits for split in ("val", "test")])
    labels = np.concatenate([caches[split].labels for split in ("val", "test")])
    order = np.argsort(ids.astype(str))
    return ids[order], logits[order].astype(np.float64), labels[order]


def expect(caches, logits, labels, ids=None):
    found = whole(caches)
    expected = ids or [f"row_{row:07d}" for row in range(len(labels))]
    assert found[0].tolist() == expected
    centred = logits - logits.max(axis=1, keepdims=True)
    np.testing.assert_allclose(found[1], centred, rtol=2**-10, atol=1e-4)
    np.testing.assert_array_equal(found[2], labels)


# --------------------------------------------------------------------------------------- formats

NAMES = [f"s{row:03d}" for row in range(N)]


def as_npz(folder, z, y):
    return save_npz(folder / "f.npz", logits=z, labels=y, sample_id=np.array(NAMES)), {}


def as_npz_with_other_names(folder, z, y):
    path = save_npz(folder / "f.npz", a=z.astype(np.float64), b=y[:, None], c=np.array(NAMES, "S"))
    return path, {"fields": {"values": "a", "labels": "b", "ids": "c"}}


def as_npz_in_fortran_order(folder, z, y):
    arrays = {"predictions": np.asfortranarray(z), "ground_truth": y.astype(np.float32)}
    return save_npz(folder / "f.npz", ids=np.array(NAMES), **arrays), {}


def as_npy(folder, z, y):
    np.save(folder / "f.npy", z.astype(">f4"))
    labels = save_npz(folder / "labels.npz", labels=y, ids=np.array(NAMES))
    return folder / "f.npy", {"labels_files": {"test": labels}}


def as_csv(folder, z, y):
    header = ["id", *(f"logit_{c}" for c in range(C)), "label"]
    return save_csv(folder / "f.csv", header, [NAMES, *z.T, y]), {}


def as_csv_in_any_order_of_columns(folder, z, y):
    header = ["logit_3", "logit_1", "target", "logit_2", "logit_4", "sample_id"]
    return save_csv(folder / "f.csv", header, [z[:, 2], z[:, 0], y, z[:, 1], z[:, 3], NAMES]), {}


def as_csv_of_pandas(folder, z, y):
    header = ["", *map(str, range(C)), "y", "ids"]
    return save_csv(folder / "f.csv", header, [range(N), *z.T, y, NAMES]), {}


def as_csv_of_named_classes(folder, z, y):
    header = ["cat", "dog", "owl", "pig", "split", "y", "ids"]
    columns = [*z.T, ["test"] * N, y, NAMES]
    return save_csv(folder / "f.csv", header, columns), {"fields": {"values": header[:C]}}


def as_csv_without_names(folder, z, y):
    labels = save_csv(folder / "labels.csv", ["id", "label"], [NAMES, y])
    return save_csv(folder / "f.csv", None, z.T), {"labels_files": {"test": labels}}


def as_csv_with_a_prefix(folder, z, y):
    header = [*(f"epoch{c}" for c in range(C)), *(f"z{c}" for c in range(C)), "y", "id"]
    path = save_csv(folder / "f.csv", header, [*z.T[::-1], *z.T, y, NAMES])
    return path, {"fields": {"values": "z"}}


def as_parquet_of_lists(folder, z, y):
    return save_parquet(folder / "f.parquet", outputs=z.tolist(), label=y, id=NAMES), {}


def as_parquet_of_vectors(folder, z, y):
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(z.ravel()), C)
    path = save_parquet(folder / "f.parquet", v=vectors, label=y, id=NAMES, w=vectors)
    return path, {"fields": {"values": "v"}}


def as_parquet_of_columns(folder, z, y):
    columns = {f"c{c}": z[:, c] for c in range(C)}
    return save_parquet(folder / "f.parquet", **columns, y=y, ids=NAMES), {}


def as_our_own_cache(folder, z, y):
    ids = np.array(NAMES, dtype=object)
    return write(folder / "f.parquet", sample_ids=ids, labels=y, logits=z, facts={}), {}


def labels_joined_by_id(folder, z, y):
    path = save_parquet(folder / "f.parquet", logits=z.tolist(), id=NAMES)
    labels = save_csv(folder / "l.csv", ["label", "id"], [y[::-1], NAMES[::-1]])
    return path, {"labels_files": {"test": labels}}


FORMATS = [value for name, value in list(globals().items()) if name.startswith(("as_", "labels_j"))]


@pytest.mark.parametrize("save", FORMATS, ids=lambda save: save.__name__)
def test_formats(tmp_path, save):
    logits, labels = make()
    path, options = save(tmp_path, logits, labels)
    caches = run(tmp_path, path, **options)
    expect(caches, logits, labels, NAMES)
    assert len(caches["shift"]) == 0
    assert caches["shift"].classes == C


def test_numbers_are_ids_too(tmp_path):
    logits, labels = make()
    path = save_npz(tmp_path / "f.npz", logits=logits, labels=labels, ids=np.arange(N) + 100)
    expect(run(tmp_path, path), logits, labels, [str(row + 100) for row in range(N)])


def test_files_of_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("sidekick.logit_cache.import_formats._BLOCK_ELEMENTS", 7 * C)
    logits, labels = make()
    for save in (as_npz, as_npy, as_csv, as_parquet_of_lists, as_parquet_of_columns):
        path, options = save(tmp_path, logits, labels)
        expect(run(tmp_path, path, **options), logits, labels, NAMES)


def test_our_own_cache_comes_out_as_it_went_in(tmp_path):
    columns = make_columns(n=40, seed=3)
    columns["logits"] += 1000
    columns["logits"][0, 0] = -np.inf
    columns["labels"][0] = 1
    path = write(tmp_path / "mine.parquet", **columns)
    before, caches = read_logits(path), run(tmp_path, path)
    for split in ("val", "test"):
        rows = np.flatnonzero(np.isin(before.sample_ids, caches[split].sample_ids))
        after = require_same_samples(before.take(rows), caches[split])
        for name in ("logits", "logit_max", "labels"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name)[rows])


def test_metadata(tmp_path):
    logits, labels = make()
    path = save_npz(tmp_path / "f.npz", logits=logits, labels=labels)
    run(tmp_path, path, val_seed=3)
    facts = read_facts(tmp_path / "cache" / "val.parquet")
    wanted = {
        "dataset": "toy",
        "model": "mine",
        "recipe": "imported",
        "seed": "0",
        "split": "val",
        "classes": "4",
        "imported_from": "f.npz",
        "imported_kind": "logits",
        "val_share": "0.5",
        "val_seed": "3",
    }
    assert {key: facts[key] for key in wanted} == wanted
    assert facts["imported_checksum"].startswith("sha256:")


# --------------------------------------------------------------------------------- probabilities


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_probabilities_become_their_logarithms(tmp_path, dtype):
    logits, labels = make()
    probabilities = softmax(logits, axis=1).astype(dtype)
    path = save_npz(tmp_path / "f.npz", predictions=probabilities, labels=labels)
    caches = run(tmp_path, path, kind="probabilities")
    with np.errstate(divide="ignore"):
        logs = np.log(probabilities.astype(np.float64))
    expect(caches, logs, labels)
    largest = np.concatenate([caches[split].logit_max for split in ("val", "test")])
    np.testing.assert_allclose(np.sort(largest), np.sort(logs.max(axis=1)), rtol=1e-5)


def test_a_probability_of_zero_is_small_but_possible(tmp_path, caplog):
    probabilities = np.tile(np.float32([0, 1, 0, 0]), (N, 1))
    labels = np.full(N, 1)
    labels[:2] = 0
    path = save_npz(tmp_path / "f.npz", probabilities=probabilities, labels=labels)
    with caplog.at_level(logging.WARNING, "sidekick"):
        caches = run(tmp_path, path, kind="probabilities")
    logits = whole(caches)[1]
    assert np.isfinite(logits).all()
    assert logits.min() == pytest.approx(np.log(FLOOR), rel=1e-3) == pytest.approx(-103.3, abs=0.1)
    assert "180 of 240 probabilities were 0" in caplog.text
    assert "2 of them are of the label, and each of these costs 103 nats" in caplog.text


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_no_answer_changes_however_close_two_options_are(tmp_path, kind):
    values = np.full((N, C), 0.01)
    values[np.arange(N), np.arange(N) % C] += 1e-13
    values[:, 3] = 0 if kind == "logits" else 1 - values[:, :3].sum(axis=1)
    if kind == "probabilities":
        values = np.concatenate([values / 100, np.full((N, 99 * C), 1 / (100 * C))], axis=1)
        values[:, :C] = 1 / (100 * C) + (values[:, :C] > values[:, :C].mean()) * 1e-12
    labels = np.arange(N) % C
    path = save_npz(tmp_path / "f.npz", values=values, labels=labels)
    caches = run(tmp_path, path, kind=kind)
    np.testing.assert_array_equal(whole(caches)[1].argmax(axis=1), values.argmax(axis=1))


# ------------------------------------------------------------------------------------ val, shift


def test_the_drawn_val_is_stratified_and_the_same_for_all_models(tmp_path):
    drawn = []
    for model in range(2):
        logits, labels = make(n=400, seed=model)
        path = save_npz(tmp_path / f"{model}.npz", logits=logits, labels=labels)
        caches = run(tmp_path / str(model), path, val_share=0.3, val_seed=1)
        assert len(caches["val"]) == 120
        assert np.bincount(caches["val"].labels).tolist() == [30] * 4
        assert not set(caches["val"].sample_ids) & set(caches["test"].sample_ids)
        drawn.append(caches["val"].sample_ids.tolist())
    assert drawn[0] == drawn[1]
    other = run(tmp_path / "again", path, val_share=0.3, val_seed=2)
    assert other["val"].sample_ids.tolist() != drawn[0]


def test_a_val_file_is_taken_as_it_is(tmp_path):
    logits, labels = make()
    test = save_npz(tmp_path / "test.npz", logits=logits, labels=labels)
    val = save_npz(tmp_path / "val.npz", logits=logits[:8], labels=labels[:8])
    caches = run(tmp_path, test, files={"val": val})
    assert (len(caches["val"]), len(caches["test"])) == (8, N)
    assert caches["val"].sample_ids[3] == "val_row_0000003"


CELLS = [("fog", 1), ("fog", 2), ("snow", 1)]


def save_shift(path, logits, labels, cells=CELLS, **more):
    """The rows of all cells, one cell after the other."""
    n = len(labels)
    return save_npz(
        path,
        logits=np.concatenate([logits + i for i in range(len(cells))]),
        labels=np.tile(labels, len(cells)),
        corruption=np.repeat([corruption for corruption, _ in cells], n),
        severity=np.repeat([severity for _, severity in cells], n),
        **more,
    )


@pytest.mark.parametrize("ids", [None, NAMES])
def test_a_shift_set_of_the_test_samples_leaves_out_those_that_became_val(tmp_path, ids):
    logits, labels = make()
    more = {} if ids is None else {"ids": np.array(ids)}
    test = save_npz(tmp_path / "test.npz", logits=logits, labels=labels, **more)
    if ids is not None:
        more = {"ids": np.tile(ids, len(CELLS))}
    shift = save_shift(tmp_path / "shift.npz", logits, labels, **more)
    caches = run(tmp_path, test, files={"shift": shift})
    cells = dict(caches["shift"].cells())
    assert list(cells) == [ShiftCell(*cell) for cell in CELLS]
    for cell in cells.values():
        assert set(cell.sample_ids) == set(caches["test"].sample_ids)


def test_a_shift_set_of_other_samples_has_ids_of_its_own(tmp_path):
    logits, labels = make()
    test = save_npz(tmp_path / "test.npz", logits=logits, labels=labels)
    shift = save_npz(tmp_path / "shift.npz", logits=logits[:9], labels=labels[:9])
    cache = run(tmp_path, test, files={"shift": shift})["shift"]
    assert cache.sample_ids.tolist() == [f"shift_row_{row:07d}" for row in range(9)]
    assert [cell for cell, _ in cache.cells()] == [ShiftCell("shift", 1)]


# -------------------------------------------------------------------------------------- refusals


def changed(row, column, value, array="logits"):
    def save(folder):
        logits, labels = make()
        arrays = {"logits": logits.astype(np.float64), "labels": labels.astype(np.float64)}
        arrays[array][(row, column) if array == "logits" else row] = value
        return save_npz(folder / "f.npz", **arrays), {}

    return save


def npz(kind="logits", **arrays):
    def save(folder):
        logits, labels = make()
        content = {"logits": logits, "labels": labels, **arrays}
        return save_npz(folder / "f.npz", **{k: v for k, v in content.items() if v is not None}), {
            "kind": kind
        }

    return save


def probabilities_with(row, column, value):
    p = softmax(make()[0], axis=1).astype(np.float64)
    p[row, column] = value
    return npz("probabilities", logits=None, predictions=p)


def text(content, name="f.csv", **options):
    def save(folder):
        (folder / name).write_text(content)
        return folder / name, options

    return save


def parquet(**columns):
    def save(folder):
        return save_parquet(folder / "f.parquet", **columns), {}

    return save


def options(**given):
    def save(folder):
        return save_npz(folder / "f.npz", logits=make()[0], labels=make()[1]), given

    return save


def duplicated(folder):
    names = list(NAMES)
    names[7] = names[2]
    return save_npz(folder / "f.npz", logits=make()[0], labels=make()[1], ids=np.array(names)), {}


def pickled(folder):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([{}], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(folder / "f.npz", "w") as file:
        file.writestr("logits.npy", buffer.getvalue())
    return folder / "f.npz", {}


def a_pickle(folder):
    (folder / "f.npy").write_bytes(pickle.dumps([1]))
    return folder / "f.npy", {}


def truncated(name, save):
    def damage(folder):
        path, given = save(folder, *make())
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return path, given

    return pytest.param(damage, r"f\.\w+: (cannot be read|not a plain NumPy)", id=name)


def with_labels(content, name="l.csv"):
    def save(folder):
        np.save(folder / "f.npy", make()[0])
        (folder / name).write_text(content)
        return folder / "f.npy", {"labels_files": {"test": folder / name}}

    return save


def with_other(split, mutate):
    def save(folder):
        logits, labels = make()
        ids = np.array(NAMES)
        test = save_npz(folder / "test.npz", logits=logits, labels=labels, ids=ids)
        arrays = {"logits": logits, "labels": labels, "ids": ids}
        if split == "shift":
            arrays |= {"corruption": np.repeat("fog", N), "severity": np.repeat(1, N)}
        mutate(arrays)
        return test, {"files": {split: save_npz(folder / "f.npz", **arrays)}}

    return save


def vary(**changes):
    def mutate(arrays):
        arrays |= changes
        for key in [key for key, value in arrays.items() if value is None]:
            del arrays[key]

    return mutate


P = softmax(make()[0], axis=1)
ONE_SPLIT = [
    ("NaN", changed(4, 2, np.nan), "row 4: the value nan of class 2 is NaN"),
    ("inf", changed(4, 2, np.inf), "row 4: the value inf of class 2 is infinite"),
    ("no logit", changed(4, slice(None), -np.inf), "row 4: .* and all others are -inf"),
    ("too large", changed(4, 2, 1e300), "row 4: the value 1e\\+300 .* beyond single precision"),
    ("absent label", changed(5, 1, -np.inf), "row 5: the logit of the label 1 is -inf"),
    ("half label", changed(3, 0, 1.5, "labels"), "row 3: label 1.5; allowed are whole numbers"),
    ("NaN label", changed(3, 0, np.nan, "labels"), "row 3: label nan"),
    ("large label", changed(3, 0, 4, "labels"), "row 3: label 4.0; .* from 0 to 3"),
    ("negative label", changed(3, 0, -1, "labels"), "row 3: label -1.0"),
    ("from 1", npz(labels=make()[1] + 1), "labels run from 1 to 4; expected 0 to 3. Subtract 1"),
    ("one-hot", npz(labels=np.eye(4)[make()[1]]), r"labels of shape \(60, 4\)"),
    ("text labels", npz(labels=np.array(NAMES)), "labels are of type <U4, such as"),
    ("few labels", npz(labels=make()[1][1:]), "59 labels, but 60 rows"),
    ("few ids", npz(ids=np.array(NAMES[1:])), "59 ids, but 60 rows"),
    ("float ids", npz(ids=np.ones(N)), "ids of shape .* and type float64"),
    ("twice", duplicated, "row 7: id 's002' occurs already in row 2"),
    ("one dimension", npz(logits=make()[1]), r"logits has shape \(60,\)"),
    ("complex", npz(logits=make()[0] * 1j), "type complex64"),
    ("one class", npz(logits=make()[0][:, :1], labels=np.zeros(N)), "1 value per row"),
    ("no rows", npz(logits=make()[0][:0], labels=make()[1][:0]), "it has no rows"),
    ("no labels", npz(labels=None), "no labels; say what they are called"),
    ("which", npz(logits=None, a=P, b=P), r"which array .* it has \['a', 'b'\]"),
    ("probabilities", npz(logits=P), "these are probabilities, not logits; say `kind: prob"),
    ("logits", npz("probabilities"), "row 0: the value .* is no probability.*`kind: logits`"),
    ("sum", probabilities_with(9, 1, 0.999), "row 9: the probabilities sum to 1\\.[0-9]+"),
    ("range", probabilities_with(9, 1, -0.1), "row 9: the value -0.1 of class 1 is no prob"),
    ("NaN probability", probabilities_with(9, 1, np.nan), "row 9: the value nan of class 1"),
    ("ending", text("", "f.txt"), "unknown ending '.txt'; allowed are .npz, .npy, .csv, .parq"),
    ("no file", lambda folder: (folder / "none.npz", {}), r"none.npz: no such file"),
    ("pickled", pickled, "f.npz: array 'logits' cannot be read .*allow_pickle"),
    ("a pickle", a_pickle, "f.npy: not a plain NumPy file"),
    ("unknown name", options(fields={"labels": "y"}), r"no column 'y' \(labels\); it has \['lo"),
    ("unknown values", options(fields={"values": "z"}), r"no column 'z' \(values\); it has"),
    ("unknown field", options(fields={"label": "y"}), r"fields: \['label'\]; allowed are cor"),
    ("kind", options(kind="odds"), "kind: 'odds'; allowed are logits, probabilities"),
    ("no share", options(val_share=None), "val_share: None; expected a share"),
    ("share", options(val_share=1.5), "val_share: 1.5; allowed are shares above 0"),
    ("tiny share", options(val_share=1e-4), "val_share: 0.0001 of the 60 rows .* val or test"),
    ("empty csv", text(""), "an empty file"),
    ("same name", text("a0,a0,label\n1,2,0\n"), "a column's name occurs twice"),
    ("header only", text("a0,a1,label\n"), "it has no rows"),
    ("word", text("a0,a1,label\n1,2,0\n1,x,1\n"), "cannot be read .*x"),
    ("short row", text("a0,a1,label\n1,2,0\n1,2\n"), "cannot be read .*Expected 3 columns, got 2"),
    ("hole", text("a0,a1,label\n1,2,0\n1,,1\n"), "row 1: the value nan of class 1 is NaN"),
    ("no label", text("a0,a1,label\n1,2,0\n1,2,\n"), r"row 1: column 'label' \(labels\) is empty"),
    ("which columns", text("a,b,label\n1,2,0\n"), r"which columns .*\['a', 'b'\]; expected names"),
    ("gap", text("a0,a2,label\n1,2,0\n"), "which columns hold the classes"),
    ("two series", text("a0,b1,label\n1,2,0\n"), "which columns hold the classes"),
    ("more", text("a0,a1,epoch,label\n1,2,3,0\n"), r"which columns .*'epoch'"),
    ("list", text("a,label\n1,0\n", fields={"values": ["a", "b"]}), r"no column 'b' \(values\)"),
    ("no header", text("1,2\n3,4\n"), "no labels; say"),
    ("ragged", parquet(logits=[[1.0, 2.0], [1.0]], label=[0, 1]), "row 1: 1 values .* row 0 has 2"),
    ("null list", parquet(logits=[[1.0, 2.0], None], label=[0, 1]), "row 1: column 'logits' is em"),
    ("words", parquet(a0=["x"], a1=["y"], label=[0]), "column 'a0' holds string, not numbers"),
    ("label files", with_labels("label\n0\n1\n"), r"l.csv: 2 labels; .*f.npy has 60 rows"),
    ("label columns", with_labels("0,1\n1,1\n"), "2 columns without names; expected labels only"),
    ("label names", with_labels("a,b\n0,1\n"), "l.csv: no labels; call their column `labels`"),
]
TWO_SPLITS = [
    ("classes", "val", vary(logits=make(classes=5)[0]), "5 values per row, but .*test.npz has 4"),
    ("leak", "val", vary(), "row 0: id 's000' is in .*test.npz, too; nothing may be tuned"),
    ("severity", "shift", vary(severity=np.arange(N)), "row 0: severity .*0.*; allowed are 1, 2"),
    ("no severity", "shift", vary(severity=None), "corruption and severity go together"),
    ("mean", "shift", vary(corruption=np.repeat("mean", N)), "row 0: corruption 'mean'"),
    (
        "twice",
        "shift",
        vary(ids=np.array(["s000"] * N)),
        r"row 1: id 's000' \(fog, severity 1\) occurs already in row 0",
    ),
    (
        "cells",
        "shift",
        vary(severity=np.arange(N) % 2 + 1),
        r"\(fog, severity 2\) and \(fog, severity 1\) hold different samples",
    ),
]


@pytest.mark.parametrize(
    ("save", "message"),
    [
        *(pytest.param(save, message, id=name) for name, save, message in ONE_SPLIT),
        *(
            pytest.param(with_other(split, mutate), message, id=f"{split} {name}")
            for name, split, mutate, message in TWO_SPLITS
        ),
        truncated("half an npz", as_npz),
        truncated("half an npy", as_npy),
        truncated("half a Parquet file", as_parquet_of_lists),
    ],
)
def test_refusals(tmp_path, save, message):
    path, given = save(tmp_path)
    with pytest.raises(SidekickError, match=message):
        run(tmp_path, path, **given)


def test_the_same_file_twice_is_refused(tmp_path):
    path, _ = as_npz(tmp_path, *make())
    with pytest.raises(SidekickError, match=r"files: test and val are both .*f\.npz"):
        run(tmp_path, path, files={"val": path})


def test_labels_that_contradict_each_other_are_refused(tmp_path):
    logits, labels = make()
    path = save_npz(tmp_path / "f.npz", logits=logits, labels=labels)
    other = save_npz(tmp_path / "l.npz", labels=np.where(np.arange(N) == 5, 0, labels))
    with pytest.raises(SidekickError, match=r"f\.npz and .*l\.npz: labels of row 5 are .*1.*0"):
        run(tmp_path, path, labels_files={"test": other})


def test_a_name_that_neither_file_has_is_refused(tmp_path):
    np.save(tmp_path / "f.npy", make()[0])
    labels = save_csv(tmp_path / "l.csv", ["y", "other"], [make()[1], NAMES])
    given = {"labels_files": {"test": labels}, "fields": {"ids": "name"}}
    with pytest.raises(SidekickError, match=r"neither has a column 'name' \(ids\)"):
        run(tmp_path, tmp_path / "f.npy", **given)


def test_ids_that_a_file_of_labels_lacks_are_refused(tmp_path):
    path, given = labels_joined_by_id(tmp_path, *make())
    save_csv(tmp_path / "l.csv", ["label", "id"], [make()[1][1:], NAMES[1:]])
    with pytest.raises(SidekickError, match=r"l\.csv: no id 's000', which is row 0 of .*f\.parq"):
        run(tmp_path, path, **given)


# ------------------------------------------------------------------------------------ memory, torch


@pytest.mark.parametrize("save", ["npy", "parquet"])
def test_values_are_held_once(tmp_path, save):
    """Reading must not add copies to the two to four that writing makes."""
    logits, labels = make(n=4000, classes=500)
    if save == "npy":
        np.save(tmp_path / "f.npy", logits.astype(np.float64))
        np.save(tmp_path / "l.npy", labels % C)
        path, given = tmp_path / "f.npy", {"labels_files": {"test": tmp_path / "l.npy"}}
    else:
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), 500)
        path, given = save_parquet(tmp_path / "f.parquet", logits=vectors, label=labels), {}
    seen = []

    def note(*_, **__):
        seen.append(tracemalloc.get_traced_memory()[1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sidekick.logit_cache.importing.write_logits", note)
        tracemalloc.start()
        outputs = {split: tmp_path / split for split in SPLITS}
        import_logits(files={"test": path}, outputs=outputs, facts={}, val_share=0.1, **given)
        tracemalloc.stop()
    # At the first write: the values, the drawn val (a tenth) and blocks.
    assert seen[0] < 1.5 * logits.nbytes + 12e6
    # At the last: before, test was cut out of the values.
    assert seen[-1] < 2.2 * logits.nbytes + 12e6


def test_nothing_on_this_path_imports_torch():
    code = (
        "import sys, sidekick.logit_cache.importing\n"
        "print([m for m in ('torch', 'polars', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(sidekick.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


# ---------------------------------------------------------------------------------------- reality

MODELS = {"wrn": "wideresnet-16-4", "densenet": "densenet-bc-100", "lenet": "lenet-5"}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """CIFAR-100 classifiers, imported from their test probabilities; half of them is val."""
    if not REAL.is_dir():
        pytest.skip(f"no real softmax outputs in {REAL}")
    folder = tmp_path_factory.mktemp("imported")
    return {
        name: run(folder / name, REAL / f"{file}-cifar-100.npz", kind="probabilities")
        for name, file in MODELS.items()
    }


@pytest.mark.parametrize(
    ("name", "accuracy", "temperature"),
    [("wrn", 0.7543, 1.11), ("densenet", 0.7541, 2.12), ("lenet", 0.1246, None)],
)
def test_real_classifiers(imported, name, accuracy, temperature):
    caches = imported[name]
    assert (len(caches["val"]), len(caches["test"])) == (5000, 5000)
    _, logits, labels = whole(caches)
    assert (logits.argmax(axis=1) == labels).mean() == pytest.approx(accuracy, abs=1e-9)
    with np.load(REAL / f"{MODELS[name]}-cifar-100.npz") as file:
        np.testing.assert_array_equal(logits.argmax(axis=1), file["predictions"].argmax(axis=1))
        logs = np.log(file["predictions"].astype(np.float64))
    np.testing.assert_allclose(log_softmax(logits, axis=1), logs, rtol=2e-3, atol=2e-3)
    if temperature is not None:
        fit = fit_temperature(caches["val"].logits, caches["val"].labels)
        assert 1 / fit.weights[0] == pytest.approx(temperature, abs=0.02)


def test_a_useless_sidekick_does_no_harm_where_averaging_does(imported):
    for split in ("val", "test"):
        for name in ("densenet", "lenet"):
            require_same_samples(imported["wrn"][split], imported[name][split])
    large, small = (imported[name]["val"].logits for name in ("wrn", "lenet"))
    labels = imported["wrn"]["val"].labels
    fit, alone = duo.fit_duo(large, small, labels), fit_temperature(large, labels)
    large, small = (imported[name]["test"].logits.astype(float) for name in ("wrn", "lenet"))
    labels = imported["wrn"]["test"].labels
    weights = Resampler([[str(row) for row in range(len(labels))]], 100, 0).weights(0)
    weights = np.concatenate([np.ones_like(weights[:1]), weights])
    scaled, joint, averaged = (
        evaluate_statistics(prediction.statistics(labels), weights)
        for prediction in (
            scale(large, alone),
            duo.weighted(large, small, fit),
            ensemble([large, small]),
        )
    )
    for metric in ("accuracy", "nll", "ece", "aurc", "brier"):
        _, low, high = intervals(scaled[metric][None])
        assert low[0] <= joint[metric][0] <= high[0], metric
        if metric != "accuracy":
            assert averaged[metric][0] > high[0], metric
    everything = [
        np.concatenate([imported[name][split].logits.astype(float) for split in ("val", "test")])
        for name in ("wrn", "lenet")
    ]
    labels = np.concatenate([imported["wrn"][split].labels for split in ("val", "test")])
    ones = np.ones((1, len(labels)), dtype=int)
    plain, averaged = (
        evaluate_statistics(prediction.statistics(labels), ones)
        for prediction in (Prediction(everything[0]), ensemble(everything))
    )
    assert plain["accuracy"][0] == pytest.approx(0.7543, abs=1e-9)
    assert averaged["accuracy"][0] == pytest.approx(0.7531, abs=2e-4)
    assert plain["ece"][0] == pytest.approx(0.058, abs=1e-3)
    assert averaged["ece"][0] == pytest.approx(0.325, abs=1e-3)

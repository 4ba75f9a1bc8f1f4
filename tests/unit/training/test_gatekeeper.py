import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

import sidekick
from sidekick.artifacts import read_facts, read_table
from sidekick.errors import SidekickError
from sidekick.models.checkpoints import describe
from sidekick.models.preprocessing import Preprocessing
from sidekick.training import cross_fitting, gatekeeper, loop
from sidekick.training.cross_fitting import SomeImages, assign_folds
from sidekick.training.data import DecodedImages
from sidekick.training.gatekeeper import StageOne, train_gatekeepers
from sidekick.training.gatekeeper_loss import gatekeeper_loss
from sidekick.training.gatekeeper_objective import GatekeeperObjective, SoftAnswers
from sidekick.training.gatekeeper_settings import GatekeeperSettings
from sidekick.training.resume import ResumeFile
from sidekick.training.sweep import sweep_recipes
from unit.training import fakes
from unit.training.fakes import ENTRY, RECIPE

CPU = torch.device("cpu")
SHORT = {**RECIPE, "epochs": 2, "learning_rate": 0.001}
LARGE = {"architecture": "test_resnet"}
CROSS_FITTED = {"correctness": "cross_fitted", "folds": 2}
STAGE_ONE = StageOne({**RECIPE, "epochs": 2})


class Killed(Exception):
    pass


@pytest.fixture
def sweep(tmp_path):
    """Train a sweep into `tmp_path / name`; gives recipe names to checkpoints."""

    def run(start, name="sweep", recipe=(), block=(), **changes):
        arguments = {
            "dataset_folder": "bars",
            "entry": ENTRY,
            "recipe": {**SHORT, **dict(recipe), "gatekeeper": dict(block)},
            "alphas": [0.3, 0.7],
            "seed": 0,
            "start": start,
            "device": "cpu",
            "threads": 1,
            "facts": {"benchmark": "tiny", "seed": 0},
        }
        arguments.update(changes)
        folder = tmp_path / name
        names = list(sweep_recipes(arguments["alphas"]))
        checkpoints = [folder / recipe / "seed0.safetensors" for recipe in names]
        train_gatekeepers(
            checkpoints=checkpoints,
            curves=[path.with_suffix(".parquet") for path in checkpoints],
            **arguments,
        )
        return dict(zip(names, checkpoints, strict=True))

    return run


@pytest.fixture
def start(train):
    return train("start", {"epochs": 8}, facts={"benchmark": "tiny", "recipe": "finetune"})


@pytest.fixture
def weak(train):
    """A start with errors left on its training split."""
    return train("weak", {"epochs": 1, "learning_rate": 0.001})


def _outcome(checkpoints):
    return {
        name: (path.read_bytes(), path.with_suffix(".parquet").read_bytes())
        for name, path in checkpoints.items()
    }


def test_names():
    assert sweep_recipes([0.1, 0.05, 0.3]) == {
        "gatekeeper_a10": 0.1,
        "gatekeeper_a05": 0.05,
        "gatekeeper_a30": 0.3,
        "ce_control": None,
    }
    for alphas in ([0.3, 0.3], [0.0], [1.0], [0.125], [-0.1]):
        with pytest.raises(SidekickError, match=r"gatekeeper.alphas: .*two decimals"):
            sweep_recipes(alphas)


def test_names_settings_and_verdicts_need_no_torch():
    code = (
        "import sys, sidekick.methods.collapse, sidekick.training.sweep,"
        "sidekick.training.gatekeeper_settings;"
        "print([name for name in ('torch', 'numba', 'scipy') if name in sys.modules])"
    )
    root = str(Path(sidekick.__file__).parents[1])
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"


def test_a_sweep_says_what_it_did(start, sweep):
    before = start.read_bytes()
    checkpoints = sweep(start)
    assert list(checkpoints) == ["gatekeeper_a30", "gatekeeper_a70", "ce_control"]
    weights = [load_file(path)["fc.weight"] for path in checkpoints.values()]
    assert all(
        not torch.equal(one, two) for row, one in enumerate(weights) for two in weights[:row]
    )
    for (name, path), alpha in zip(checkpoints.items(), (0.3, 0.7, None), strict=True):
        description = describe(path)
        assert description.facts["recipe"] == name
        assert description.facts["start"]["recipe"] == "finetune"
        assert description.facts["start"]["val_metric"] == describe(start).val_metric
        assert description.facts["collapse"]["collapsed"] is False
        assert description.facts["collapse"]["accuracy"] == pytest.approx(description.val_accuracy)
        assert description.recipe["gatekeeper"].get("alpha") == alpha
        assert description.recipe["gatekeeper"]["normalisation"] == "batch"
        assert description.entry == ENTRY
        assert read_facts(path.with_suffix(".parquet"))["recipe"] == name
        assert '"collapsed": false' in read_facts(path.with_suffix(".parquet"))["collapse"]
        assert len(read_table(path.with_suffix(".parquet"))) == 2
        # No state is left behind.
        assert len(list(path.parent.iterdir())) == 2
    assert start.read_bytes() == before


def test_all_recipes_see_the_same_batches_from_the_same_weights(start, sweep, monkeypatch):
    seen = []
    add = loop._add_gradients

    def watching(task, network, samples, targets, *rest):
        rate = task.scheduler.get_last_lr()[0]
        first = task.scheduler.last_epoch == 0
        weights = network.fc.weight.detach().clone() if first else None
        seen.append((rate, samples.clone(), targets.clone(), weights))
        add(task, network, samples, targets, *rest)

    monkeypatch.setattr(loop, "_add_gradients", watching)
    opened = []
    monkeypatch.setattr(
        gatekeeper,
        "open_session",
        lambda open_it=gatekeeper.open_session, **rest: opened.append(1) or open_it(**rest),
    )
    sweep(start)
    assert len(opened) == 1
    steps = len(seen) // 3
    assert steps == 8
    initial = load_file(start)["fc.weight"]
    for one, two, three in zip(
        seen[:steps], seen[steps : 2 * steps], seen[2 * steps :], strict=True
    ):
        assert one[0] == two[0] == three[0]
        for part in (1, 2):
            assert torch.equal(one[part], two[part])
            assert torch.equal(one[part], three[part])
    for first in seen[::steps]:
        assert torch.equal(first[3], initial)


def test_the_control_is_cross_entropy_from_the_same_start(start, sweep, train):
    control = sweep(start, recipe={"label_smoothing": 0.1})["ce_control"]
    plain = train("plain", {**SHORT, "label_smoothing": 0.1}, start=start)
    weights, expected = load_file(control), load_file(plain)
    for name, value in expected.items():
        # Two ways to write one loss, which AdamW makes much of where gradients almost vanish.
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=2e-4)


def test_one_alpha_does_not_depend_on_the_others(start, sweep):
    whole = sweep(start)
    alone = sweep(start, "alone", alphas=[0.7])
    for name in ("gatekeeper_a70", "ce_control"):
        assert alone[name].read_bytes() == whole[name].read_bytes()


@pytest.mark.parametrize("block", [{}, CROSS_FITTED], ids=["live", "cross_fitted"])
def test_an_interrupted_sweep_ends_with_the_same_bytes(start, sweep, monkeypatch, block, caplog):
    caplog.set_level("INFO", "sidekick")
    options = {"block": block, "stage_one": STAGE_ONE}
    expected = _outcome(sweep(start, "whole", **options))
    save = ResumeFile.save
    # Every save in turn, and the one after it is the last.
    total = (2 * 2 if block else 0) + 3 * 2
    for last in range(1, total + 1, 3 if block else 1):
        count = 0

        def dying_save(self, state, last=last):
            nonlocal count
            count += 1
            save(self, state)
            if count == last:
                raise Killed

        monkeypatch.setattr(ResumeFile, "save", dying_save)
        name = f"broken{last}"
        with pytest.raises(Killed):
            sweep(start, name, **options)
        # As Snakemake does before it repeats a job.
        for path in (start.parents[1] / name).glob("*/seed0.safetensors"):
            path.unlink()
        caplog.clear()
        saves = []
        monkeypatch.setattr(ResumeFile, "save", lambda *a, s=saves: s.append(1) or save(*a))
        checkpoints = sweep(start, name, **options)
        assert _outcome(checkpoints) == expected
        assert len(saves) == total - last
        assert not list((start.parents[1] / name).rglob("*.resume.pt"))


@pytest.mark.parametrize(
    "block",
    [
        {"normalisation": "subset"},
        {"divergence": "uniform_p"},
        {"anchor": 0.5},
        {"targets": "large"},
        {"anchor": 0.5, "anchor_targets": "large"},
        CROSS_FITTED,
    ],
    ids=str,
)
def test_every_option_changes_the_outcome(weak, sweep, train, block):
    large = train("large", {"epochs": 1}, entry=LARGE)
    options = {"large": large, "stage_one": STAGE_ONE, "alphas": [0.3]}
    plain = sweep(weak, "plain", **options)["gatekeeper_a30"]
    other = sweep(weak, "other", block=block, **options)["gatekeeper_a30"]
    assert not torch.equal(load_file(plain)["fc.weight"], load_file(other)["fc.weight"])
    for key, value in block.items():
        assert describe(other).recipe["gatekeeper"][key] == value


def _objective(alpha, block, large=None):
    settings = GatekeeperSettings.of({"gatekeeper": block})
    return GatekeeperObjective(alpha, settings, 0.0, large)


def _pixels():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(6, 3, 4, 4, generator=generator)
    return pixels, torch.randn(6, 5, generator=generator), torch.tensor([0, 1, 2, 3, 4, 0])


def test_the_objective_by_its_formula():
    pixels, logits, labels = _pixels()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))
    own = Preprocessing((4, 4), 1.0, "bicubic", (0.5,) * 3, (0.25,) * 3)
    large = SoftAnswers(network, own, CPU)
    soft = network((pixels - 0.5) / 0.25).softmax(dim=1)
    torch.testing.assert_close(large(pixels), soft)
    cases = [
        (0.3, {}, gatekeeper_loss(logits, labels, 0.3)),
        (None, {}, F.cross_entropy(logits, labels)),
        (0.3, {"targets": "large"}, gatekeeper_loss(logits, soft, 0.3)),
        (None, {"targets": "large"}, F.cross_entropy(logits, soft)),
        (
            0.3,
            {"anchor": 0.2},
            gatekeeper_loss(logits, labels, 0.3) + 0.2 * F.cross_entropy(logits, labels),
        ),
        (
            None,
            {"anchor": 0.2, "anchor_targets": "large"},
            F.cross_entropy(logits, labels) + 0.2 * F.cross_entropy(logits, soft),
        ),
    ]
    for alpha, block, expected in cases:
        found = _objective(alpha, block, large)(logits, labels, pixels)
        torch.testing.assert_close(found, expected)
    correct = torch.tensor([True, False] * 3)
    torch.testing.assert_close(
        _objective(0.3, {})(logits, labels, pixels, correct),
        gatekeeper_loss(logits, labels, 0.3, correct=correct),
    )
    # The control makes no difference between right and wrong.
    torch.testing.assert_close(
        _objective(None, {})(logits, labels, pixels, correct), F.cross_entropy(logits, labels)
    )


def test_the_large_model_stays_as_it_is(start, sweep, train):
    large = train("large", {"epochs": 1}, entry=LARGE)
    before = large.read_bytes()
    sweep(start, block={"targets": "large"}, large=large, recipe={"epochs": 1})
    assert large.read_bytes() == before


def test_frozen_correctness_reaches_the_loss_by_sample(start, sweep, monkeypatch):
    """Of whichever samples a batch has, and in whatever parts it is computed."""
    frozen = torch.arange(fakes.SIZES["train"]) % 3 == 0
    monkeypatch.setattr(gatekeeper, "_cross_fit", lambda *a, **k: (frozen, []))
    labels = torch.from_numpy(fakes.load_split("bars", "train", 0).labels)
    seen = []
    call = GatekeeperObjective.__call__

    def watching(self, logits, targets, samples, correct=None):
        if correct is not None:
            seen.append((targets, correct))
        return call(self, logits, targets, samples, correct)

    monkeypatch.setattr(GatekeeperObjective, "__call__", watching)
    recipe = {"epochs": 1, "accumulation": 2}
    checkpoints = sweep(start, recipe=recipe, block=CROSS_FITTED, alphas=[0.3])
    # Batches of 8, 8, 8 and 2 samples, of which the last is one part.
    assert len(seen) == 2 * 7
    order = [torch.cat([part[k] for part in seen[:7]]) for k in (0, 1)]
    # Class by class, as many right as there are among the samples.
    for label in range(3):
        wanted = frozen[labels == label].sum()
        assert order[1][order[0] == label].sum() == wanted
    assert describe(checkpoints["gatekeeper_a30"]).facts["cross_fitted_accuracy"] == pytest.approx(
        frozen.double().mean().item()
    )


def test_folds_are_even_and_stratified():
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 7)
    assigned = assign_folds(labels, 5, 0)
    assert sorted(assigned.bincount().tolist()) == [17, 17, 17, 18, 18]
    for label, count in ((0, 50), (1, 30), (2, 7)):
        counts = assigned[labels == label].bincount(minlength=5)
        assert counts.max() - counts.min() <= 1
        assert counts.sum() == count
    assert torch.equal(assigned, assign_folds(labels, 5, 0))
    assert not torch.equal(assigned, assign_folds(labels, 5, 1))
    for folds in (1, 88):
        with pytest.raises(SidekickError, match=f"gatekeeper.folds: {folds}; allowed are 2 to 87"):
            assign_folds(labels, folds, 0)


def test_some_images_are_those_of_the_rows():
    split = fakes.load_split("bars", "train", 0)
    whole = DecodedImages(split.images, split.labels, CPU)
    some = SomeImages(whole, torch.tensor([5, 2, 9, 20]))
    assert len(some) == 4
    batches = list(some.batches([torch.tensor([3, 0]), torch.tensor([1])]))
    for rows, (pixels, labels) in zip(([20, 5], [2]), batches, strict=True):
        expected = next(iter(whole.batches([torch.tensor(rows)])))
        assert torch.equal(pixels, expected[0])
        assert torch.equal(labels, expected[1])


def test_no_fold_network_has_seen_what_it_is_asked(start, sweep, monkeypatch):
    trained, asked = [], []
    run, logits = cross_fitting.run_epochs, cross_fitting.split_logits

    def pixels_of(images):
        rows = [torch.arange(len(images))]
        return {bytes(image.numpy().tobytes()) for image in next(iter(images.batches(rows)))[0]}

    def watching_run(task, data, resume):
        trained.append(pixels_of(data.train))
        return run(task, data, resume)

    def watching_logits(model, inputs, images, device):
        asked.append(pixels_of(images))
        return logits(model, inputs, images, device)

    monkeypatch.setattr(cross_fitting, "run_epochs", watching_run)
    monkeypatch.setattr(cross_fitting, "split_logits", watching_logits)
    sweep(start, block={**CROSS_FITTED, "folds": 3}, stage_one=STAGE_ONE, recipe={"epochs": 1})
    assert len(trained) == len(asked) == 3
    everything = set().union(*asked)
    assert len(everything) == sum(map(len, asked)) == fakes.SIZES["train"]
    for seen, unseen in zip(trained, asked, strict=True):
        assert seen == everything - unseen


def test_stage_one_is_the_start_s_own_training(start, sweep, monkeypatch):
    """Had it all samples, a fold's network would be the fine-tuned one."""
    nowhere = torch.full((fakes.SIZES["train"],), 99)
    monkeypatch.setattr(cross_fitting, "assign_folds", lambda *a: nowhere)
    states = []
    run = cross_fitting.run_epochs

    def watching(task, data, resume):
        rows = run(task, data, resume)
        states.append({k: v.clone() for k, v in task.model.state_dict().items()})
        return rows

    monkeypatch.setattr(cross_fitting, "run_epochs", watching)
    monkeypatch.setattr(cross_fitting, "split_logits", lambda model, inputs, images, d: (
        torch.zeros(len(images), 3)
    ))  # fmt: skip
    stage_one = StageOne.of(start)
    assert stage_one == StageOne({**RECIPE, "epochs": 8})
    sweep(start, block=CROSS_FITTED, stage_one=stage_one, recipe={"epochs": 1}, alphas=[0.5])
    expected = load_file(start)
    assert all(torch.equal(states[0][name], value) for name, value in expected.items())


def test_a_distilled_start_is_cross_fitted_by_distillation(start, sweep, train, monkeypatch):
    large = train("large", {"epochs": 1}, entry=LARGE)
    losses = []
    fit = gatekeeper.out_of_fold_logits
    monkeypatch.setattr(
        gatekeeper,
        "out_of_fold_logits",
        lambda **rest: losses.append((rest["loss"], rest["identity"])) or fit(**rest),
    )
    recipe = {**RECIPE, "epochs": 1, "distill": {"temperature": 4.0, "weight": 0.9}}
    options = {"block": {**CROSS_FITTED, "targets": "large"}, "recipe": {"epochs": 1}}
    sweep(start, stage_one=StageOne(recipe), large=large, **options)
    assert isinstance(losses[0][0], gatekeeper.DistillationLoss)
    assert losses[0][1] == {"teacher": large}


def test_a_network_that_collapses_is_marked(start, sweep, monkeypatch, caplog):
    """Told that it is wrong on everything, it learns to be sure of nothing."""
    nothing = torch.zeros(fakes.SIZES["train"], dtype=torch.bool)
    monkeypatch.setattr(gatekeeper, "_cross_fit", lambda *a, **k: (nothing, []))
    recipe = {"epochs": 20, "learning_rate": 0.01, "augmentation": {}}
    checkpoints = sweep(start, recipe=recipe, block=CROSS_FITTED, alphas=[0.3])
    found = describe(checkpoints["gatekeeper_a30"]).facts["collapse"]
    assert found["collapsed"] is True
    assert found["reason"].startswith("mean confidence 0.3")
    assert f"has collapsed: {found['reason']}" in caplog.text
    # The control does not care what is right.
    assert not describe(checkpoints["ce_control"]).facts["collapse"]["collapsed"]


@pytest.mark.parametrize(
    ("block", "recipe", "message"),
    [
        ({"normalisation": "mean"}, {}, r"gatekeeper.normalisation: 'mean'; allowed are"),
        ({"divergence": "kl"}, {}, r"gatekeeper.divergence: 'kl'"),
        ({"correctness": "frozen"}, {}, r"gatekeeper.correctness: 'frozen'"),
        ({"targets": "teacher"}, {}, r"gatekeeper.targets: 'teacher'"),
        ({"anchor": -1}, {}, r"gatekeeper.anchor: -1; it must be at least 0"),
        ({}, {"early_stopping": 2}, r"gatekeeper.training.early_stopping: 2, but all"),
        (
            {"normalisation": "subset"},
            {"accumulation": 2},
            r"training.accumulation: 2, but .* allowed is 1",
        ),
        (CROSS_FITTED, {"augmentation": {"mixup": 0.2}}, r"augmentation.mixup: 0.2, but a blend"),
        (CROSS_FITTED, {}, r"'cross_fitted' needs the settings of stage one"),
        ({"targets": "large"}, {}, r"need the large model's checkpoint"),
        ({"anchor": 1, "anchor_targets": "large"}, {}, r"need the large model's checkpoint"),
    ],
    ids=str,
)
def test_refused_settings(start, sweep, block, recipe, message):
    with pytest.raises(SidekickError, match=message):
        sweep(start, block=block, recipe=recipe)


def test_unsuitable_checkpoints_are_refused(start, sweep, train, train_head):
    with pytest.raises(SidekickError, match="made from the model entry"):
        sweep(train("other", {"epochs": 1}, entry=LARGE))
    with pytest.raises(SidekickError, match="MC-dropout head cannot be the large model"):
        sweep(start, block={"targets": "large"}, large=train_head(start, recipe={"epochs": 1}))

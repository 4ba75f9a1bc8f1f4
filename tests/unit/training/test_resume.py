import logging
import random
import subprocess
import sys
import time

import pytest
import torch

from sidekick.artifacts import read_table
from sidekick.training.resume import ResumeFile
from unit.training import fakes
from unit.training.fakes import ENTRY, RECIPE
from unit.training.slow_training import EPOCHS

# All that has state of its own.
FULL = {
    "epochs": 8,
    "accumulation": 2,
    "early_stopping": 2,
    "ema": 0.9,
    "label_smoothing": 0.1,
    "augmentation": {
        "noise": 0.05,
        "shift": 1,
        "flip": True,
        "rand_augment": {"operations": 2, "magnitude": 5},
        "mixup": 0.4,
    },
}


class Killed(Exception):
    pass


@pytest.fixture
def interrupt(monkeypatch):
    """Make the training die after so many epochs, before or after their state is saved."""
    save = ResumeFile.save

    def arm(epoch, saved=True):
        def dying_save(self, state):
            if len(state["curve"]) < epoch or saved:
                save(self, state)
            if len(state["curve"]) == epoch:
                raise Killed

        monkeypatch.setattr(ResumeFile, "save", dying_save)

    def disarm():
        monkeypatch.setattr(ResumeFile, "save", save)

    arm.disarm = disarm
    return arm


def outcome(checkpoint):
    return checkpoint.read_bytes(), checkpoint.with_suffix(".parquet").read_bytes()


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("epoch", [1, 3, RECIPE["epochs"]])
def test_an_interrupted_training_ends_with_the_same_bytes(train, interrupt, caplog, epoch, saved):
    caplog.set_level(logging.INFO, "sidekick")
    expected = outcome(train("whole"))
    interrupt(epoch, saved)
    with pytest.raises(Killed):
        train("broken")
    interrupt.disarm()
    caplog.clear()
    checkpoint = train("broken")
    assert outcome(checkpoint) == expected
    assert not checkpoint.with_suffix(".resume.pt").exists()
    done = epoch if saved else epoch - 1
    assert any(f"Going on after epoch {done}," in text for text in caplog.messages) == (done > 0)
    assert sum(text.startswith("Epoch ") for text in caplog.messages) == RECIPE["epochs"] - done


@pytest.mark.parametrize("entry", [ENTRY, {"architecture": "test_convnext"}], ids=str)
@pytest.mark.parametrize("epoch", [1, 2, "last"])
def test_an_interrupted_training_with_everything_on(train, interrupt, entry, epoch):
    whole = train("whole", FULL, entry=entry)
    if epoch == "last":
        epoch = len(read_table(whole.with_suffix(".parquet")))
    interrupt(epoch)
    with pytest.raises(Killed):
        train("broken", FULL, entry=entry)
    interrupt.disarm()
    assert outcome(train("broken", FULL, entry=entry)) == outcome(whole)


def test_an_interrupted_probe_ends_with_the_same_bytes(probe, interrupt):
    expected = outcome(probe("whole"))
    interrupt(2)
    with pytest.raises(Killed):
        probe("broken")
    interrupt.disarm()
    assert outcome(probe("broken")) == expected


def test_the_state_does_not_grow(train, monkeypatch):
    sizes = []
    save = ResumeFile.save

    def measuring_save(self, state):
        save(self, state)
        sizes.append(self.path.stat().st_size)

    monkeypatch.setattr(ResumeFile, "save", measuring_save)
    checkpoint = train(recipe={**FULL, "early_stopping": 8})
    assert len(sizes) == 8
    # Weights, the optimiser's two moments, the average and the best; the rest is small.
    assert max(sizes) < 5 * checkpoint.stat().st_size + 100_000
    assert max(sizes) - min(sizes) < 10_000


TUNED = {"backbone": "tuned", "backbone_learning_rate": 0.001}


@pytest.mark.parametrize(
    ("recipe", "is_started"),
    [({}, True), (TUNED, True), (TUNED | {"start": ENTRY}, False)],
    ids=["frozen", "tuned", "from its entry"],
)
def test_an_interrupted_head_ends_with_the_same_bytes(
    train, train_head, interrupt, recipe, is_started
):
    checkpoint = train() if is_started else None
    expected = outcome(train_head(checkpoint, "whole", recipe))
    interrupt(2)
    with pytest.raises(Killed):
        train_head(checkpoint, "broken", recipe)
    interrupt.disarm()
    assert outcome(train_head(checkpoint, "broken", recipe)) == expected


def test_a_killed_process_ends_with_the_same_bytes(train, tmp_path):
    recipe = {"epochs": EPOCHS}
    expected = outcome(train("whole", recipe))
    checkpoint = tmp_path / "killed" / "seed0.safetensors"
    curve = checkpoint.with_suffix(".parquet")
    chance = random.Random()
    epoch, delay = chance.randint(1, 5), chance.uniform(0, 0.6)
    process = subprocess.Popen(
        [sys.executable, "-m", "unit.training.slow_training", checkpoint, curve],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    while int(process.stdout.readline()) < epoch:
        pass
    time.sleep(delay)
    process.kill()
    process.communicate()
    assert checkpoint.with_suffix(".resume.pt").exists()
    assert not checkpoint.exists()
    assert outcome(train("killed", recipe)) == expected, f"killed {delay:.3f} s after epoch {epoch}"


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ({"learning_rate": 0.004}, {}),
        ({"epochs": 6}, {}),
        ({}, {"seed": 1}),
        ({}, {"entry": {"architecture": "small_cnn", "options": {"width": 5}}}),
        ({}, {"entry": {**ENTRY, "input": {"mean": [0.4, 0.4, 0.4]}}}),
    ],
)
def test_the_state_of_another_training_is_ignored(train, interrupt, caplog, recipe, changes):
    expected = outcome(train("whole", recipe, **changes))
    interrupt(2)
    with pytest.raises(Killed):
        train("broken")
    interrupt.disarm()
    assert outcome(train("broken", recipe, **changes)) == expected
    assert "belongs to other settings" in caplog.text


def test_other_data_is_another_training(train, interrupt, caplog, monkeypatch):
    interrupt(2)
    with pytest.raises(Killed):
        train()
    interrupt.disarm()
    card = {**fakes.read_card("bars"), "revision": 2}
    monkeypatch.setattr("sidekick.training.data.read_card", lambda folder: card)
    train()
    assert "belongs to other settings" in caplog.text


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "flipped", "foreign"])
def test_a_damaged_state_is_ignored(train, interrupt, caplog, tmp_path, damage):
    expected = outcome(train("whole"))
    interrupt(2)
    with pytest.raises(Killed):
        train("broken")
    interrupt.disarm()
    path = tmp_path / "broken" / "seed0.resume.pt"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    elif damage != "foreign":
        content = {"empty": b"", "truncated": content[:-50], "garbage": b"x" * 999}[damage]
    path.write_bytes(content)
    if damage == "foreign":
        torch.save([1, 2], path)
    assert outcome(train("broken")) == expected
    assert "is damaged" in caplog.text


def test_code_in_a_state_is_not_run(tmp_path, caplog):
    class Evil:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'owned')!r}, 'w')",))

    resume = ResumeFile(tmp_path / "seed0.safetensors", {"a": 1})
    torch.save({"fingerprint": "x", "state": Evil()}, resume.path)
    assert resume.load() is None
    assert "is damaged" in caplog.text
    assert not (tmp_path / "owned").exists()

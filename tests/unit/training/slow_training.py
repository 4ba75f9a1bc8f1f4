"""A training in a process of its own that lingers after each epoch, to be killed."""

import sys
import time
from importlib import import_module

import torch

from sidekick.training.finetune import finetune
from sidekick.training.resume import ResumeFile
from unit.training import fakes
from unit.training.fakes import ENTRY, RECIPE

EPOCHS = 12


def _setattr(target, value):
    module, _, name = target.rpartition(".")
    setattr(import_module(module), name, value)


def _save_and_linger(self, state):
    _save(self, state)
    print(len(state["curve"]), flush=True)
    time.sleep(0.3)


if __name__ == "__main__":
    torch.set_num_threads(1)
    fakes.install(_setattr)
    _save = ResumeFile.save
    ResumeFile.save = _save_and_linger
    finetune(
        dataset_folder="bars",
        entry=ENTRY,
        recipe={**RECIPE, "epochs": EPOCHS},
        seed=0,
        checkpoint=sys.argv[1],
        curve=sys.argv[2],
        device="cpu",
        threads=1,
        facts={"benchmark": "tiny", "seed": 0},
    )

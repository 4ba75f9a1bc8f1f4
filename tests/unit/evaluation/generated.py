"""A small made-up benchmark of generated answers, to change and to evaluate."""

import numpy as np
import polars as pl
import pyarrow as pa

from sidekick.artifacts import write_json, write_table
from sidekick.evaluation.generations import evaluate_generations

BIG, SMALL = "zeta", "alpha"
SWEEP = ("ce_control", "gatekeeper_a10", "gatekeeper_a90")
TABLES = ("metrics", "curves", "fits")


class Generated:
    """Files of answers of some models; `data[split, model, recipe, seed]` may be changed.

    Parameters
    ----------
    folder
        Where files go.
    models
        Name to (GMACs, share of right answers).
    recipes
        Of `SMALL`, beside its base recipe.
    """

    def __init__(self, folder, models=None, recipes=SWEEP, seeds=(0, 1), sizes=None):
        self.folder = folder
        self.models = models or {BIG: (2.0, 0.75), SMALL: (0.5, 0.45)}
        self.seeds = list(seeds)
        self.sizes = sizes or {"val": 60, "test": 80}
        self.settings = {"replicates": {"test": 40, "shift": 20}, "level": 0.9, "seed": 5}
        self.cascade = {
            "deferral_ratios": [0.25, 0.5],
            "budgets": [0.1, 0.5],
            "accuracies": [0.6],
            "gates": ["margin", "learned"],
        }
        self.data = {}
        for index, (model, (_, share)) in enumerate(self.models.items()):
            own = ("finetune", *recipes) if model == SMALL else ("finetune",)
            for number, recipe in enumerate(own):
                for seed in self.seeds:
                    for split in self.sizes:
                        # Of the same numbers for every model, so that the larger one is better.
                        rng = np.random.default_rng([7, index, number, seed, len(split)])
                        self.data[split, model, recipe, seed] = self._columns(
                            split, seed, share - 0.02 * number, rng
                        )

    def _columns(self, split, seed, share, rng):
        n = self.sizes[split]
        # All seeds are tested on the same questions, but not tuned on the same.
        numbers = np.arange(n) + (100 * seed if split == "val" else 1000)
        correct = rng.random(n) < share
        tokens = rng.integers(3, 40, n)
        logprobs = -np.sort(rng.exponential(0.4 + 0.5 * ~correct[:, None], (n, 11)), axis=1)[
            :, ::-1
        ]
        return {
            "sample_id": [f"s{number:05}" for number in numbers],
            "subject": [""] * n,
            "level": [""] * n,
            "text": ["so"] * n,
            "prediction": [str(number) for number in np.where(correct, numbers, -1)],
            "reference": [str(number) for number in numbers],
            "correct": correct,
            "correct_flexible": correct | (rng.random(n) < 0.1),
            "tokens": tokens.astype(np.int32),
            "truncated": rng.random(n) < 0.1,
            # Rounded, so that there are ties.
            "nent": np.round(logprobs.mean(axis=1) - rng.random(n) / 4, 1).astype(np.float32),
            "mean_logprob": logprobs.mean(axis=1).astype(np.float32),
            "sum_logprob": (tokens * logprobs.mean(axis=1)).astype(np.float32),
            "logprob_quantiles": logprobs.astype(np.float32),
        }

    def path(self, split, model, recipe, seed):
        return self.folder / "generations" / model / recipe / f"seed{seed}" / f"{split}.parquet"

    def flops(self, model):
        return str(self.folder / "flops" / f"{model}.json")

    def write(self):
        """Write every file."""
        for (split, model, recipe, seed), columns in self.data.items():
            quantiles = np.ascontiguousarray(columns["logprob_quantiles"])
            flat = pa.array(quantiles.reshape(-1))
            table = columns | {
                "logprob_quantiles": pa.FixedSizeListArray.from_arrays(flat, quantiles.shape[1])
            }
            facts = {"dataset": "maths", "model": model, "recipe": recipe, "seed": seed}
            write_table(
                pa.table(table), self.path(split, model, recipe, seed), {**facts, "split": split}
            )
        for model, (gmacs, _) in self.models.items():
            write_json({"gmacs": gmacs, "facts": {"model": model}}, self.flops(model))
        return self

    def files(self, model, *partners, sweep=False):
        wanted = [(one, "finetune") for one in (*partners, model)]
        wanted += [(model, recipe) for recipe in SWEEP if sweep]
        return {
            split: [str(self.path(split, *own, seed)) for own in wanted for seed in self.seeds]
            for split in self.sizes
        }

    def outputs(self, model):
        return {name: str(self.folder / "tables" / model / f"{name}.parquet") for name in TABLES}

    def evaluate(self, model=SMALL, partners=(), large=None, **changes):
        """Evaluate one model: table name to data frame. With `large` its sweep, too."""
        others = [*partners, *([large] if large and large not in partners else [])]
        arguments = {
            "answers": self.files(model, *others, sweep=large is not None),
            "flops": [self.flops(one) for one in dict.fromkeys([model, *([large] * bool(large))])],
            "partners": [self.flops(one) for one in partners],
            "model": model,
            "sweep": {"start": "finetune", "large": large} if large else None,
            "seeds": self.seeds,
            "cascade": self.cascade,
            "evaluation": self.settings,
            "facts": {"benchmark": "made_up", "dataset": "maths", "model": model},
        }
        outputs = self.outputs(model)
        evaluate_generations(**{**arguments, **changes}, **outputs)
        return {name: pl.read_parquet(path) for name, path in outputs.items()}

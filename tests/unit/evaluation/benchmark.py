"""A small made-up benchmark: cached logits of several models, to change and to evaluate."""

import numpy as np
import polars as pl
from scipy.special import softmax

from sidekick.artifacts import write_json
from sidekick.evaluation.gatekeeper import evaluate_gatekeeper
from sidekick.evaluation.mc_dropout import evaluate_mc_dropout
from sidekick.evaluation.pairs import evaluate_pairs
from sidekick.evaluation.passes import evaluate_passes
from sidekick.evaluation.single import evaluate_single
from sidekick.evaluation.trial_ensemble import write_trial_ensemble
from sidekick.logit_cache import write_logits
from sidekick.methods.dropout_decomposition import decompose

CELLS = (("fog", 1), ("fog", 3), ("snow", 1), ("snow", 3))
SPLITS = ("val", "test", "shift")
TABLES = ("metrics", "curves", "fits", "parts")
# Of jobs whose predictors are of images only.
OF_IMAGES = TABLES[:-1]
MC_RECIPES = ("mc_dropout", "mc_dropout_int8")
BIG, SMALL = "zeta", "alpha"


class Benchmark:
    """Logit files of some models; `data[split, model, seed]` may be changed before `write`.

    Parameters
    ----------
    folder
        Where files go.
    models
        Name to (GMACs, how much its logits know).
    seeds, classes, sizes, cells
        Seeds, number of classes, samples by split (of a shift part), and the shift parts.
    features
        Width of cached pooled features, if any.
    """

    def __init__(
        self,
        folder,
        models=None,
        seeds=(0, 1),
        classes=4,
        sizes=None,
        cells=CELLS,
        features=None,
        replicates=40,
    ):
        self.folder = folder
        self.models = models or {BIG: (2.0, 2.2), SMALL: (0.5, 1.2)}
        self.seeds, self.classes, self.cells = list(seeds), classes, cells
        self.sizes = sizes or {"val": 60, "test": 50, "shift": 20}
        self.settings = {
            "replicates": {"test": replicates, "shift": replicates // 2},
            "level": 0.9,
            "seed": 5,
        }
        self.cascade = {"deferral_ratios": [0.25, 0.5]}
        labels = np.random.default_rng(0).integers(0, classes, sum(self.sizes.values()))
        self.data = {}
        for index, (model, (_, signal)) in enumerate(self.models.items()):
            for seed in self.seeds:
                rng = np.random.default_rng([1, index, seed])
                for split in SPLITS:
                    self.data[split, model, seed] = self._columns(
                        split, seed, labels, signal, rng, features
                    )

    def _columns(self, split, seed, labels, signal, rng, features):
        n = self.sizes[split]
        # Test and shift hold the same samples for every seed, val does not.
        chosen = np.arange(n) + (100 * seed if split == "val" else 1000)
        labels = labels[chosen % len(labels)].astype(np.int32)
        ids = np.array([f"s{i:05}" for i in chosen], dtype=object)
        columns = {}
        if split == "shift":
            count = len(self.cells)
            columns["corruption"] = np.repeat([name for name, _ in self.cells], n).astype(object)
            columns["severity"] = np.repeat([s for _, s in self.cells], n).astype(np.int8)
            ids, labels = np.tile(ids, count), np.tile(labels, count)
            signal = signal - 0.3 * columns["severity"].astype(float)
        logits = rng.normal(size=(len(ids), self.classes)) * 1.2
        logits[np.arange(len(ids)), labels] += signal
        columns |= {"sample_ids": ids, "labels": labels, "logits": logits.astype(np.float32)}
        if features is not None:
            columns["features"] = rng.normal(size=(len(ids), features)).astype(np.float32)
        return columns

    def path(self, split, model, seed):
        return self.folder / "logits" / model / f"seed{seed}" / f"{split}.parquet"

    def write(self):
        """Write every file."""
        for (split, model, seed), columns in self.data.items():
            facts = {"benchmark": "made_up", "dataset": "toy", "model": model, "seed": seed}
            facts["recipe"] = "finetune"
            write_logits(self.path(split, model, seed), **columns, facts={**facts, "split": split})
        for model, (gmacs, _) in self.models.items():
            counted = {"gmacs": gmacs, "feature_gmacs": 0.9 * gmacs, "facts": {"model": model}}
            write_json(counted, self.flops(model))
        return self

    def flops(self, model):
        return self.folder / "flops" / f"{model}.json"

    def logits(self, *models):
        return {
            split: [str(self.path(split, model, s)) for model in models for s in self.seeds]
            for split in SPLITS
        }

    def permute(self):
        """Shuffle the rows of every file in its own way."""
        for index, (key, columns) in enumerate(self.data.items()):
            rows = np.random.default_rng(index).permutation(len(columns["labels"]))
            self.data[key] = {name: values[rows] for name, values in columns.items()}
        return self

    def _run(self, function, name, facts, tables=TABLES, **arguments):
        outputs = {table: self.folder / name / f"{table}.parquet" for table in tables}
        function(
            seeds=self.seeds,
            evaluation=self.settings,
            facts={"benchmark": "made_up", "dataset": "toy", **facts},
            **arguments,
            **outputs,
        )
        return {table: pl.read_parquet(path) for table, path in outputs.items()}

    def single(self, model=BIG, recipes=None):
        """Evaluate one model: table name to data frame.

        `recipes` maps a recipe's name to the model whose logits stand in for it, or to the files
        of its logits.
        """
        logits = self._with_recipes({model: recipes or {}})
        return self._run(
            evaluate_single,
            f"single/{model}",
            {"model": model},
            logits=logits,
            flops=str(self.flops(model)),
        )

    def _with_recipes(self, recipes):
        """The logit files of some models and of further recipes of theirs."""
        logits = self.logits(*recipes)
        for model, own in recipes.items():
            for recipe, stand_in in own.items():
                for split in SPLITS:
                    if isinstance(stand_in, dict):
                        logits[split] += stand_in[split]
                        continue
                    logits[split] += [
                        self._as_recipe(split, stand_in, model, recipe, s) for s in self.seeds
                    ]
        return logits

    def trial_ensemble(self, model, trials, size, metric="accuracy"):
        """Write the ensemble of trials, models whose logits stand in for them."""
        files = {split: [] for split in SPLITS}
        for seed in self.seeds:
            outputs = {
                split: str(self.folder / "trial_ensemble" / f"seed{seed}" / f"{split}.parquet")
                for split in SPLITS
            }
            write_trial_ensemble(
                logits={
                    split: [self._as_recipe(split, name, model, name, seed) for name in trials]
                    for split in SPLITS
                },
                metric=metric,
                size=size,
                facts={"dataset": "toy", "model": model, "seed": seed},
                outputs=outputs,
            )
            for split, path in outputs.items():
                files[split].append(path)
        return files

    def _as_recipe(self, split, stand_in, model, recipe, seed):
        path = self.folder / "logits" / model / recipe / f"seed{seed}" / f"{split}.parquet"
        facts = {"benchmark": "made_up", "dataset": "toy", "model": model, "seed": seed}
        columns = self.data[split, stand_in, seed]
        write_logits(path, **columns, facts={**facts, "recipe": recipe, "split": split})
        return str(path)

    def pairs(self, model, *partners, recipes=None, budgets=()):
        """Evaluate the pairs of `model` with its partners; `recipes` by model as in `single`."""
        models = (*partners, model)
        return self._run(
            evaluate_pairs,
            f"pairs/{model}",
            {},
            logits=self._with_recipes({one: (recipes or {}).get(one, {}) for one in models}),
            flops=[str(self.flops(one)) for one in models],
            model=model,
            cascade=self.cascade,
            budgets=budgets,
        )

    def gatekeeper(self, recipes, small=SMALL, large=BIG, start="finetune"):
        """Evaluate a sweep; `recipes` of the small model as in `single`."""
        return self._run(
            evaluate_gatekeeper,
            f"gatekeeper/{small}",
            {"model": small},
            logits=self._with_recipes({small: recipes, large: {}}),
            flops=[str(self.flops(one)) for one in (small, large)],
            small=small,
            large=large,
            start=start,
            cascade=self.cascade,
        )

    def passes(self, model=SMALL, count=5, levels=(0.7,), splits=("test", "shift")):
        """Evaluate passes through the whole of a model, which scatter about its own answers."""
        logits = {split: files for split, files in self.logits(model).items() if split in splits}
        for split in splits:
            logits[split] += [self._passes(split, model, seed, count) for seed in self.seeds]
        return self._run(
            evaluate_passes,
            f"passes/{model}",
            {"model": model},
            OF_IMAGES,
            logits=logits,
            flops=str(self.flops(model)),
            passes=count,
            levels=levels,
        )

    def _passes(self, split, model, seed, count):
        path = self.folder / "logits" / model / "passes" / f"seed{seed}" / f"{split}.parquet"
        columns = dict(self.data[split, model, seed])
        drawn = self.drawn_passes(split, model, seed, count)
        divided = decompose(drawn)
        columns["logits"] = np.log(drawn.mean(axis=0))
        others = np.stack([divided.expected_entropy, divided.variation_ratio], axis=1)
        columns["features"] = np.concatenate([drawn.std(axis=0), others], axis=1)
        facts = {"benchmark": "made_up", "dataset": "toy", "model": model, "seed": seed}
        write_logits(path, **columns, facts={**facts, "recipe": "passes", "split": split})
        return str(path)

    def drawn_passes(self, split, model, seed, count):
        """Give the probabilities (N, n, C) of a model's passes."""
        logits = self.data[split, model, seed]["logits"].astype(np.float64)
        noise = np.random.default_rng([seed, count]).normal(size=(count, *logits.shape))
        return softmax(logits + noise, axis=2)

    def mc_dropout_logits(self, model, recipes):
        """Write a model's logits as those of its head, for the quantised one the same."""
        return {
            split: [
                self._as_recipe(split, model, model, recipe, seed)
                for recipe in recipes
                for seed in self.seeds
            ]
            for split in SPLITS
        }

    def mc_dropout(
        self, checkpoints, model=BIG, passes=(4,), levels=(0.7, 0.9), recipes=MC_RECIPES
    ):
        """Evaluate the MC-dropout predictors of one model."""
        return self._run(
            evaluate_mc_dropout,
            f"mc_dropout/{model}",
            {"model": model},
            (*OF_IMAGES, "examples"),
            logits=self.mc_dropout_logits(model, recipes),
            checkpoints=[str(path) for path in checkpoints],
            flops=str(self.flops(model)),
            passes=passes,
            levels=levels,
        )


def pick(table, **values):
    """The rows with these values; None asks for null."""
    for column, value in values.items():
        table = table.filter(pl.col(column).eq_missing(pl.lit(value)))
    return table


def row(table, **values):
    """The only such row, as a dict."""
    found = pick(table, **values)
    assert len(found) == 1, (values, len(found))
    return found.row(0, named=True)


def assert_every_nan_is_explained(metrics):
    """No silent number, and no silent absence of one."""
    numbers = ("value", "low", "high", "delta", "delta_low", "delta_high")
    silent = metrics.filter(
        pl.any_horizontal(pl.col(number).is_nan() for number in numbers) & pl.col("note").is_null()
    )
    assert len(silent) == 0, silent
    assert len(metrics.filter(pl.col("value").is_infinite())) == 0

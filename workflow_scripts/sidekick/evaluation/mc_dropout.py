"""Evaluate Monte-Carlo dropout: its estimators and the accept/ignore rule, in float32 and int8."""

from collections.abc import Mapping, Sequence

from sidekick.artifacts import read_json, write_table
from sidekick.errors import SidekickError
from sidekick.evaluation.identity import Identity
from sidekick.evaluation.mc_dropout_curves import add_curves
from sidekick.evaluation.mc_dropout_examples import EXAMPLES_SCHEMA, example_rows
from sidekick.evaluation.mc_dropout_rows import Costs, Network, network_candidates
from sidekick.evaluation.run import Candidate, Evaluation, Settings, as_list
from sidekick.evaluation.tables import to_table
from sidekick.logit_cache import CachedLogits
from sidekick.methods import mc_dropout
from sidekick.methods.mc_dropout import Head
from sidekick.quantisation.rounding import rounded_head
from sidekick.recipe_names import MC_DROPOUT, MC_DROPOUT_INT8


def evaluate_mc_dropout(
    *,
    logits: Mapping[str, Sequence[str]],
    checkpoints: Sequence[str],
    flops: str,
    seeds: Sequence[int],
    passes: Sequence[int],
    levels: Sequence[float],
    evaluation: Mapping,
    facts: Mapping[str, str],
    metrics: str,
    curves: str,
    fits: str,
    examples: str,
) -> None:
    """Write the rows of one model's MC-dropout predictors.

    Parameters
    ----------
    logits
        `val`, `test` and `shift` to the caches (with features) of the recipe `mc_dropout`, and of
        `mc_dropout_int8` if the network was quantised, per seed.
    checkpoints
        The recipe's checkpoints, of which only the heads are read. Those of quantised networks
        are their roundings.
    flops
        The model's FLOPs file.
    seeds, passes, levels, evaluation, facts
        From the config; `facts` names the model.
    metrics, curves, fits, examples
        The Parquet files to write; the last as `sidekick.evaluation.mc_dropout_examples` says, of
        the last network with the most passes and the lowest level.

    Raises
    ------
    SidekickError
        If caches or checkpoints are missing, damaged, or do not belong together.
    """
    paths = {split: as_list(files) for split, files in logits.items()}
    job = Evaluation(paths, seeds, Settings(**evaluation), facts, by="recipe")
    heads = _load_heads(as_list(checkpoints), job)
    feature_gmacs = read_json(flops)["feature_gmacs"]
    networks = [
        Network(facts["model"], MC_DROPOUT, heads, Costs(feature_gmacs, heads[0]), None),
    ]
    if MC_DROPOUT_INT8 in job.keys:
        rounded = [rounded_head(head) for head in heads]
        costs = Costs(feature_gmacs, heads[0])
        networks.append(Network(facts["model"], MC_DROPOUT_INT8, rounded, costs, networks[0]))

    def predict(
        _: str, cells: Sequence[Mapping[str, CachedLogits]], weights
    ) -> dict[Identity, Candidate]:
        candidates: dict[Identity, Candidate] = {}
        for network in networks:
            own = [cell[network.recipe] for cell in cells]
            # The same masks for all networks, so that they differ by what was quantised.
            rngs = [job.rng(index) for index in range(len(own))]
            candidates |= network_candidates(network, own, weights, passes, levels, rngs)
        return candidates

    job.run(job.keys, predict)
    for network in networks:
        add_curves(job, network, passes, levels)
    job.write(metrics, curves, fits)
    most, level = max(passes), min(levels)
    rows = list(example_rows(job, networks[-1], most, level))
    own = {"model": facts["model"], "recipe": networks[-1].recipe, "seed": job.seeds[0]}
    own |= {**job.facts, "passes": most, "level": level}
    write_table(to_table(rows, EXAMPLES_SCHEMA), examples, own)


def _load_heads(checkpoints: Sequence[str], job: Evaluation) -> list[Head]:
    """Read the seeds' heads and refuse caches whose features they cannot read."""
    by_seed = {head.seed: head for head in map(mc_dropout.load_head, checkpoints)}
    missing = sorted(set(job.seeds) - set(by_seed))
    if missing:
        raise SidekickError(f"no MC-dropout checkpoint of seed {missing[0]} in {checkpoints}")
    heads = [by_seed[seed] for seed in job.seeds]
    for seeds in job.caches.values():
        for head, caches in zip(heads, seeds, strict=True):
            for cache in caches.values():
                width = 0 if cache.features is None else cache.features.shape[1]
                if width != len(head.scale):
                    raise SidekickError(
                        f"{cache.source}: {width} features per row, but the head of seed "
                        f"{head.seed} reads {len(head.scale)}"
                    )
    return heads

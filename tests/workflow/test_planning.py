"""How many jobs a benchmark is divided into: few, each with much to do."""

import re
from collections import Counter
from copy import deepcopy

import pytest

from workflow.configs import small_cnn, small_config
from workflow.project import Project, jobs_of


def expected_jobs(datasets: int, models: int, seeds: int) -> dict[str, int]:
    """Give the jobs of a benchmark of plain models, by rule."""
    return {
        "prepare_dataset": datasets,
        "draw_splits": datasets * seeds,
        "finetune": datasets * models * seeds,
        "cache_logits": datasets * models * seeds,
        "count_flops": datasets * models,
        "evaluate_single": datasets * models,
        # All partners of a model in one job; the first has none.
        "evaluate_pairs": datasets * (models - 1),
        "collect_leaderboard": 1,
        "plot_leaderboard": 1,
        "pick_examples": datasets,
        "render_page": 1,
        "all": 1,
    }


@pytest.mark.parametrize(("datasets", "models", "seeds"), [(1, 2, 1), (2, 7, 3)])
def test_jobs_grow_with_what_is_trained_not_with_pairs(datasets, models, seeds, tmp_path):
    config = small_config()
    del config["mc_dropout"], config["gatekeeper"]
    config["seeds"] = list(range(seeds))
    (dataset,) = config["datasets"].values()
    config["datasets"] = {f"digits{number}": deepcopy(dataset) for number in range(datasets)}
    config["models"] = {f"model{number}": small_cnn(number + 2) for number in range(models)}
    project = Project.create(tmp_path / "project", config)
    output = project.snakemake("--dry-run").output
    planned = Counter(job.split()[0] for job in jobs_of(output))
    assert planned == expected_jobs(datasets, models, seeds)
    # A link for each partner, not one for each of its caches.
    inputs = re.findall(r"^rule evaluate_pairs:\n {4}input: (.*)$", output, re.M)
    own = 3 * seeds + 1
    links = [own + partners for partners in range(1, models)] * datasets
    assert sorted(len(files.split(", ")) for files in inputs) == sorted(links)

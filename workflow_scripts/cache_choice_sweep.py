"""Rule `cache_choice_sweep`: score all questions by the checkpoints of one sweep."""

from pathlib import Path

from sidekick.jobs import job_device, job_log
from sidekick.logit_cache.scoring import cache_choice_sweep


def main(job):
    recipes = job.params.recipes
    with job_log(job.log[0]):
        cache_choice_sweep(
            checkpoints=dict(zip(recipes, job.input.checkpoints, strict=True)),
            dataset_folder=Path(job.input.card).parent,
            outputs={
                split: dict(zip(recipes, paths, strict=True)) for split, paths in job.output.items()
            },
            task=job.params.task,
            seed=int(job.wildcards.seed),
            device=job_device(job),
            threads=job.threads,
            facts=job.params.facts,
        )


if __name__ == "__main__":
    main(snakemake)

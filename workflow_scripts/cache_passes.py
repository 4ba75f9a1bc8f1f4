"""Rule `cache_passes`: run one checkpoint many times with its dropout on."""

from pathlib import Path

from sidekick.jobs import job_device, job_log
from sidekick.logit_cache.passes import cache_passes
from sidekick.recipe_names import PASSES


def main(job):
    with job_log(job.log[0]):
        cache_passes(
            checkpoint=job.input.checkpoint,
            dataset_folder=Path(job.input.card).parent,
            outputs=dict(job.output.items()),
            passes=job.params.passes,
            seed=int(job.wildcards.seed),
            device=job_device(job),
            threads=job.threads,
            facts=job.params.facts | {"recipe": PASSES},
        )


if __name__ == "__main__":
    main(snakemake)

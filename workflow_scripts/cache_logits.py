"""Rule `cache_logits`: run one checkpoint over all evaluation splits."""

from pathlib import Path

from sidekick.jobs import job_device, job_log
from sidekick.logit_cache.inference import cache_logits


def main(job):
    with job_log(job.log[0]):
        cache_logits(
            checkpoint=job.input.checkpoint,
            dataset_folder=Path(job.input.card).parent,
            outputs=dict(job.output.items()),
            seed=int(job.wildcards.seed),
            device=job_device(job),
            threads=job.threads,
            facts=job.params.facts,
        )


if __name__ == "__main__":
    main(snakemake)

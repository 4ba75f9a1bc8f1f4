"""Rule `cache_hedge`: the same with a sentence in the prompt that asks for caution."""

from pathlib import Path

from sidekick.jobs import job_device, job_log
from sidekick.logit_cache.scoring import cache_choice_logits


def main(job):
    hedge = job.wildcards.hedge
    with job_log(job.log[0]):
        cache_choice_logits(
            checkpoint=job.input.checkpoint,
            dataset_folder=Path(job.input.card).parent,
            outputs=dict(job.output.items()),
            task=job.params.task | {"hedge": hedge},
            seed=int(job.wildcards.seed),
            device=job_device(job),
            threads=job.threads,
            facts=job.params.facts | {"recipe": f"hedge_{hedge}"},
        )


if __name__ == "__main__":
    main(snakemake)

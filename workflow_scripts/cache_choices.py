"""Rule `cache_choices`: score the options of all evaluation questions by one language model."""

from pathlib import Path

from sidekick.jobs import job_device, job_log
from sidekick.logit_cache.scoring import cache_choice_logits


def main(job):
    with job_log(job.log[0]):
        cache_choice_logits(
            checkpoint=job.input.checkpoint,
            dataset_folder=Path(job.input.card).parent,
            outputs=dict(job.output.items()),
            task=job.params.task,
            seed=int(job.wildcards.seed),
            device=job_device(job),
            threads=job.threads,
            facts=job.params.facts | {"recipe": "finetune"},
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `gatekeeper_language`: tune one small language model by a sweep, and by its control."""

from pathlib import Path

from sidekick.jobs import job_device, job_log
from sidekick.training.language.gatekeeper import train_language_gatekeepers


def main(job):
    with job_log(job.log[0]):
        train_language_gatekeepers(
            dataset_folder=Path(job.input.card).parent,
            **job.params.sweep,
            task=job.params.task,
            seed=int(job.wildcards.seed),
            start=job.input.start,
            **job.output,
            device=job_device(job),
            threads=job.threads,
            facts=job.params.facts | {"revision": job.params.revision},
        )


if __name__ == "__main__":
    main(snakemake)

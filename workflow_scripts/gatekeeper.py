"""Rule `gatekeeper`: tune one small model by a sweep of alphas, and by its control."""

from pathlib import Path

from sidekick.jobs import job_device, job_log
from sidekick.training.gatekeeper import StageOne, train_gatekeepers


def main(job):
    with job_log(job.log[0]):
        train_gatekeepers(
            dataset_folder=Path(job.input.card).parent,
            **job.params.sweep,
            seed=int(job.wildcards.seed),
            start=job.input.start,
            large=job.input.get("large") or None,
            stage_one=StageOne.of(job.input.start, job.input.get("probe") or None),
            **job.output,
            device=job_device(job),
            threads=job.threads,
            facts=job.params.facts | {"revision": job.params.revision},
        )


if __name__ == "__main__":
    main(snakemake)

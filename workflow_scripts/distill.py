"""Rule `distill`: train one model on another one's answers on one seed's split."""

from pathlib import Path

from sidekick.jobs import job_device, job_log
from sidekick.training.distillation import distill


def main(job):
    with job_log(job.log[0]):
        distill(
            dataset_folder=Path(job.input.card).parent,
            entry=job.params.architecture,
            recipe=job.params.recipe,
            teacher=job.input.teacher,
            seed=int(job.wildcards.seed),
            **job.output,
            device=job_device(job),
            threads=job.threads,
            facts=job.params.facts | {"recipe": "distill", "revision": job.params.revision},
            start=job.input.get("probe") or None,
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `finetune`: train one model on one seed's split, by its own settings or a trial's."""

from pathlib import Path

from sidekick.jobs import job_device, job_log
from sidekick.training.finetune import finetune


def main(job):
    with job_log(job.log[0]):
        finetune(
            dataset_folder=Path(job.input.card).parent,
            entry=job.params.architecture,
            recipe=job.params.recipe,
            seed=int(job.wildcards.seed),
            **job.output,
            device=job_device(job),
            threads=job.threads,
            facts=job.params.facts | {"revision": job.params.revision},
            start=job.input.get("probe") or None,
        )


if __name__ == "__main__":
    main(snakemake)

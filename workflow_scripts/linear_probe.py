"""Rule `linear_probe`: train the last layer of one model on one seed's split."""

from pathlib import Path

from sidekick.jobs import job_device, job_log
from sidekick.training.probe import linear_probe


def main(job):
    with job_log(job.log[0]):
        linear_probe(
            dataset_folder=Path(job.input.card).parent,
            entry=job.params.architecture,
            recipe=job.params.recipe,
            seed=int(job.wildcards.seed),
            checkpoint=job.output.checkpoint,
            curve=job.output.curve,
            device=job_device(job),
            threads=job.threads,
            facts=job.params.facts | {"recipe": "linear_probe", "revision": job.params.revision},
        )


if __name__ == "__main__":
    main(snakemake)

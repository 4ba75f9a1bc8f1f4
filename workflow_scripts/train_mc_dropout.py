"""Rule `train_mc_dropout`: train an MC-dropout head on a model."""

from pathlib import Path

from sidekick.jobs import job_device, job_log
from sidekick.training.mc_dropout import train_mc_dropout


def main(job):
    with job_log(job.log[0]):
        train_mc_dropout(
            dataset_folder=Path(job.input.card).parent,
            checkpoint=job.input.checkpoint or None,
            recipe=job.params.recipe,
            seed=int(job.wildcards.seed),
            output=job.output.checkpoint,
            curve=job.output.curve,
            device=job_device(job),
            threads=job.threads,
            facts=job.params.facts | {"recipe": "mc_dropout", "revision": job.params.revision},
        )


if __name__ == "__main__":
    main(snakemake)

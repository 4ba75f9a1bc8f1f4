"""Rule `select_trial`: take over the best trial of a search."""

from pathlib import Path

from sidekick.jobs import job_log
from sidekick.training.selection import select_trial


def main(job):
    with job_log(job.log[0]):
        select_trial(
            checkpoints=list(job.input.trials),
            curves=[Path(path).with_suffix(".curve.parquet") for path in job.input.trials],
            output=job.output.checkpoint,
            curve=job.output.curve,
            facts=job.params.facts | {"recipe": "finetune", "revision": job.params.revision},
        )


if __name__ == "__main__":
    main(snakemake)

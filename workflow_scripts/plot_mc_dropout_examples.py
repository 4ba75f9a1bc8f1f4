"""Rule `plot_mc_dropout_examples`: show which of a few images one model's rule ignores."""

from pathlib import Path

from sidekick.jobs import job_log
from sidekick.leaderboard.examples import plot_examples


def main(job):
    with job_log(job.log[0]):
        plot_examples(
            examples=job.input.examples,
            dataset_folder=Path(job.input.card).parent,
            outputs=list(job.output),
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `draw_splits`: draw one seed's train, val and test splits."""

from pathlib import Path

from sidekick.datasets.prepare import draw_splits
from sidekick.jobs import job_log


def main(job):
    with job_log(job.log[0]):
        draw_splits(
            dataset_folder=Path(job.input.card).parent,
            sizes=job.params.sizes,
            seed=int(job.wildcards.seed),
            facts=job.params.facts,
            splits_path=job.output.splits,
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `count_language_flops`: count what one language model spends on an item of a dataset."""

from pathlib import Path

from sidekick.flops.language import write_language_flops
from sidekick.jobs import job_log


def main(job):
    with job_log(job.log[0]):
        write_language_flops(
            entry=job.params.architecture,
            dataset_folder=Path(job.input.card).parent,
            task=job.params.task,
            seed=job.params.seed,
            output=job.output.flops,
            facts=job.params.facts,
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `count_flops`: count one model's multiply-adds."""

from pathlib import Path

from sidekick.flops.count import write_flops
from sidekick.jobs import job_log


def main(job):
    with job_log(job.log[0]):
        write_flops(
            entry=job.params.architecture,
            dataset_folder=Path(job.input.card).parent,
            output=job.output.flops,
            facts=job.params.facts,
        )


if __name__ == "__main__":
    main(snakemake)

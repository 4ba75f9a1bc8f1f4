"""Rule `state_flops`: write down the multiply-adds that the config states for one model."""

from sidekick.flops.stated import state_flops
from sidekick.jobs import job_log


def main(job):
    with job_log(job.log[0]):
        state_flops(
            gmacs=job.params.gmacs,
            output=job.output.flops,
            facts=job.params.facts,
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `evaluate_passes`: score Monte-Carlo dropout in all of one model's network."""

from sidekick.evaluation.passes import evaluate_passes
from sidekick.jobs import job_log


def main(job):
    with job_log(job.log[0]):
        evaluate_passes(
            logits={split: job.input[split] for split in job.params.splits},
            flops=job.input.flops,
            seeds=job.params.seeds,
            passes=job.params.passes,
            levels=job.params.levels,
            evaluation=job.params.evaluation,
            facts=job.params.facts,
            **job.output,
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `evaluate_single`: score one model's own predictors."""

from sidekick.evaluation.single import evaluate_single
from sidekick.jobs import job_log


def main(job):
    with job_log(job.log[0]):
        evaluate_single(
            logits={split: job.input[split] for split in ("val", "test", "shift")},
            flops=job.input.flops,
            seeds=job.params.seeds,
            evaluation=job.params.evaluation,
            facts=job.params.facts,
            **job.output,
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `evaluate_mc_dropout`: score Monte-Carlo dropout through one model's head."""

from sidekick.evaluation.mc_dropout import evaluate_mc_dropout
from sidekick.jobs import job_log


def main(job):
    with job_log(job.log[0]):
        evaluate_mc_dropout(
            logits={split: job.input[split] for split in ("val", "test", "shift")},
            checkpoints=job.input.checkpoints,
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

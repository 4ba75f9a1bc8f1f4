"""Rule `evaluate_gatekeeper`: score cascades from one gatekept model, against its controls."""

from sidekick.evaluation.gatekeeper import evaluate_gatekeeper
from sidekick.jobs import job_log


def main(job):
    with job_log(job.log[0]):
        evaluate_gatekeeper(
            logits={split: job.input[split] for split in ("val", "test", "shift")},
            flops=job.input.flops,
            small=job.wildcards.model,
            **job.params.pair,
            seeds=job.params.seeds,
            cascade=job.params.cascade,
            evaluation=job.params.evaluation,
            facts=job.params.facts,
            **job.output,
        )


if __name__ == "__main__":
    main(snakemake)

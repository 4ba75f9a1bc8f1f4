"""Rule `evaluate_generations`: score one model's generated answers, and cascades with them."""

from sidekick.evaluation.generations import evaluate_generations
from sidekick.jobs import job_log


def main(job):
    with job_log(job.log[0]):
        evaluate_generations(
            answers={split: job.input[split] for split in ("val", "test")},
            flops=job.input.flops,
            model=job.wildcards.model,
            partners=job.input.partners,
            sweep=job.params.sweep,
            seeds=job.params.seeds,
            cascade=job.params.cascade,
            evaluation=job.params.evaluation,
            facts=job.params.facts,
            **job.output,
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `evaluate_pairs`: score one model's pairs with the models listed before it."""

from sidekick.evaluation.pairs import evaluate_pairs
from sidekick.evaluation.run import as_list
from sidekick.evaluation.sources import read_sources
from sidekick.jobs import job_log


def main(job):
    with job_log(job.log[0]):
        logits, flops = read_sources(as_list(job.input.partners))
        evaluate_pairs(
            logits={split: files + as_list(job.input[split]) for split, files in logits.items()},
            flops=flops + as_list(job.input.flops),
            model=job.wildcards.model,
            seeds=job.params.seeds,
            cascade=job.params.cascade,
            budgets=job.params.budgets,
            evaluation=job.params.evaluation,
            facts=job.params.facts,
            **job.output,
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `evaluate_single`: score one model's own predictors."""

from sidekick.evaluation.single import evaluate_single
from sidekick.evaluation.sources import write_sources
from sidekick.jobs import job_log


def main(job):
    logits = {split: job.input[split] for split in ("val", "test", "shift")}
    outputs = dict(job.output.items())
    sources = outputs.pop("sources")
    with job_log(job.log[0]):
        evaluate_single(
            logits=logits,
            flops=job.input.flops,
            seeds=job.params.seeds,
            evaluation=job.params.evaluation,
            facts=job.params.facts,
            **outputs,
        )
        write_sources(logits, job.input.flops, job.params.facts, sources)


if __name__ == "__main__":
    main(snakemake)

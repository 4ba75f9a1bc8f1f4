"""Rule `cache_int8_logits`: run one quantised network over all evaluation splits."""

from pathlib import Path

from sidekick.jobs import job_log
from sidekick.quantisation.caching import cache_network_logits


def main(job):
    with job_log(job.log[0]):
        cache_network_logits(
            network=job.input.network,
            dataset_folder=Path(job.input.card).parent,
            outputs=dict(job.output.items()),
            seed=int(job.wildcards.seed),
            threads=job.threads,
            facts=job.params.facts | {"recipe": "mc_dropout_int8"},
        )


if __name__ == "__main__":
    main(snakemake)

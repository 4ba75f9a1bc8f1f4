"""Rule `import_logits`: check one model's logits from elsewhere and cache them."""

from sidekick.jobs import job_log
from sidekick.logit_cache.importing import import_logits


def main(job):
    with job_log(job.log[0]):
        import_logits(
            outputs=dict(job.output.items()),
            facts=job.params.facts,
            **job.params.request,
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `prepare_dataset`: write a dataset's samples, shift set and card."""

from sidekick.datasets.prepare import prepare_dataset
from sidekick.jobs import job_log


def main(job):
    recipe = job.params.recipe
    with job_log(job.log[0]):
        prepare_dataset(
            name=recipe["source"],
            facts=job.params.facts,
            sizes=recipe["splits"],
            shift=recipe.get("shift"),
            main_metric=recipe.get("main_metric"),
            archives=dict(job.input.items()),
            checksum=recipe.get("checksum"),
            threads=job.threads,
            **{f"{name}_path": path for name, path in job.output.items()},
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `prepare_dataset`: write a dataset's samples, splits, shift set and card."""

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
            samples_path=job.output.samples,
            shift_path=job.output.shift,
            card_path=job.output.card,
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `finetune_language`: train one language model on one seed's questions."""

from pathlib import Path

from sidekick.jobs import job_device, job_log
from sidekick.training.language.finetune import finetune_language_model


def main(job):
    with job_log(job.log[0]):
        finetune_language_model(
            dataset_folder=Path(job.input.card).parent,
            entry=job.params.architecture,
            recipe=job.params.recipe,
            task=job.params.task,
            seed=int(job.wildcards.seed),
            **job.output,
            device=job_device(job),
            threads=job.threads,
            facts=job.params.facts | {"recipe": "finetune", "revision": job.params.revision},
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `make_soup`: average the weights of a search's trials."""

from pathlib import Path

from sidekick.jobs import job_device, job_log
from sidekick.training.soup import make_soup


def main(job):
    with job_log(job.log[0]):
        make_soup(
            checkpoints=list(job.input.trials),
            dataset_folder=Path(job.input.card).parent,
            seed=int(job.wildcards.seed),
            uniform=job.output.uniform,
            greedy=job.output.greedy,
            device=job_device(job),
            threads=job.threads,
            facts=job.params.facts | {"revision": job.params.revision},
        )


if __name__ == "__main__":
    main(snakemake)

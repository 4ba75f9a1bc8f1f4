"""Rule `download_dataset`: fetch one file of a dataset, of its shift set or of overlays."""

from sidekick.datasets import RemoteFile
from sidekick.datasets.download import download
from sidekick.datasets.origins import mirror
from sidekick.jobs import job_log


def main(job):
    with job_log(job.log[0]):
        download(
            RemoteFile(**job.params.file),
            job.output[0],
            # No params: where a file comes from must not repeat what is made of it.
            mirror=mirror(job.config, job.wildcards.source),
            offline=job.config.get("downloads", {}).get("offline", False),
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `quantise`: write a network with an MC-dropout head as ONNX files, float32 and int8."""

from pathlib import Path

from sidekick.jobs import job_log
from sidekick.quantisation.quantise import quantise_checkpoint


def main(job):
    with job_log(job.log[0]):
        quantise_checkpoint(
            checkpoint=job.input.checkpoint,
            dataset_folder=Path(job.input.card).parent,
            calibration_images=job.params.calibration_images,
            seed=int(job.wildcards.seed),
            **job.output,
            threads=job.threads,
            facts=job.params.facts | {"recipe": "mc_dropout_int8", "revision": job.params.revision},
        )


if __name__ == "__main__":
    main(snakemake)

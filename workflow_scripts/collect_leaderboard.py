"""Rule `collect_leaderboard`: put all evaluation tables on one board."""

from sidekick.jobs import job_log
from sidekick.leaderboard.collect import collect_leaderboard


def main(job):
    with job_log(job.log[0]):
        collect_leaderboard(
            metrics=job.input.metrics,
            curves=job.input.curves,
            fits=job.input.fits,
            parts=job.input.parts,
            quantisation_reports=job.input.quantisation_reports,
            quantisation_errors=job.input.quantisation_errors,
            models=job.params.models,
            benchmark=job.params.benchmark,
            outputs=dict(job.output.items()),
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `plot_leaderboard`: draw every figure of every dataset."""

from sidekick.jobs import job_log
from sidekick.leaderboard.plot import plot_leaderboard


def main(job):
    with job_log(job.log[0]):
        plot_leaderboard(
            leaderboard=job.input.leaderboard,
            curves=job.input.curves,
            fits=job.input.fits,
            parts=job.input.parts,
            outputs=list(job.output),
            level=job.params.level,
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `render_page`: put the board on one page."""

from sidekick.jobs import job_log
from sidekick.leaderboard.page.render import render_page


def main(job):
    tables = ("leaderboard", "curves", "fits", "findings", "budgets", "promises")
    with job_log(job.log[0]):
        render_page(
            **{name: job.input[name] for name in tables},
            cards=list(job.input.cards),
            deployed=list(job.input.deployed),
            examples=list(job.input.examples),
            citation=job.params.citation,
            times=job.params.times,
            config=job.config,
            output=job.output.page,
        )


if __name__ == "__main__":
    main(snakemake)

"""Rule `pick_examples`: choose the samples of a dataset that the page shows."""

from pathlib import Path

from sidekick.jobs import job_log
from sidekick.leaderboard.pick_examples import pick_examples


def main(job):
    with job_log(job.log[0]):
        card = job.input.get("card")
        pick_examples(
            leaderboard=job.input.leaderboard,
            fits=job.input.fits,
            dataset=job.wildcards.dataset,
            seed=job.params.seed,
            logits=job.input.get("logits", []),
            answers=job.input.get("answers", []),
            mc_dropout=job.input.get("mc_dropout", []),
            dataset_folder=Path(card).parent if card else None,
            classes=job.params.classes,
            output=job.output.examples,
        )


if __name__ == "__main__":
    main(snakemake)

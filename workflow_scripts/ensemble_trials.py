"""Rule `ensemble_trials`: average the best trials of one model and seed."""

from sidekick.evaluation.trial_ensemble import write_trial_ensemble
from sidekick.jobs import job_log


def main(job):
    with job_log(job.log[0]):
        write_trial_ensemble(
            logits={split: job.input[split] for split in ("val", "test", "shift")},
            metric=job.params.ensemble["metric"],
            size=job.params.ensemble["size"],
            facts=job.params.facts,
            outputs=dict(job.output.items()),
        )


if __name__ == "__main__":
    main(snakemake)

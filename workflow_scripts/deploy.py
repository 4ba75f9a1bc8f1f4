"""Rule `deploy`: write one predictor as a file that loads with numpy alone."""

from sidekick.deployment.deploy import deploy
from sidekick.jobs import job_log


def main(job):
    with job_log(job.log[0]):
        deploy(
            logits=job.input.logits,
            flops=job.input.flops,
            card=job.input.get("card"),
            output=job.output.predictor,
            facts=job.params.facts,
            class_names=job.params.class_names,
            **job.params.settings,
        )


if __name__ == "__main__":
    main(snakemake)

from snakemake.utils import min_version

min_version("9.19")


# Reads and checks config.yaml, or what --configfile names.
include: "rules/config.smk"
include: "rules/common.smk"
include: "rules/datasets.smk"
include: "rules/train.smk"
include: "rules/language.smk"
include: "rules/flops.smk"
include: "rules/logits.smk"
include: "rules/quantise.smk"
include: "rules/evaluate.smk"
include: "rules/deploy.smk"
include: "rules/leaderboard.smk"
include: "rules/examples.smk"
include: "rules/page.smk"


rule all:
    default_target: True
    input:
        rules.collect_leaderboard.output.leaderboard,
        rules.render_page.output.page,
        rules.plot_leaderboard.output,
        MC_DROPOUT_EXAMPLES,
        DEPLOYED,


onstart:
    start_run()


onsuccess:
    finish_run()

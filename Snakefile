from snakemake.utils import min_version

min_version("9.19")

# A configuration given with --configfile replaces config.yaml; Snakemake would merge the two.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/datasets.smk"
include: "rules/train.smk"
include: "rules/flops.smk"
include: "rules/logits.smk"
include: "rules/evaluate.smk"
include: "rules/leaderboard.smk"


rule all:
    default_target: True
    input:
        rules.collect_leaderboard.output.leaderboard,
        rules.plot_leaderboard.output,


onstart:
    hold_run_lock()


onsuccess:
    print_summary()

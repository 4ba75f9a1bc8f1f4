rule finetune:
    input:
        samples=rules.prepare_dataset.output.samples,
        splits=rules.draw_splits.output.splits,
        card=rules.prepare_dataset.output.card,
    output:
        checkpoint="results/checkpoints/{dataset}/{model}/finetune/seed{seed}.safetensors",
        curve="results/checkpoints/{dataset}/{model}/finetune/seed{seed}.curve.parquet",
    log:
        "results/logs/finetune/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/finetune/{dataset}/{model}/seed{seed}.tsv"
    conda:
        "../envs/train.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=GPUS,
    params:
        architecture=architecture,
        recipe=finetune_recipe,
        facts=facts,
        revision=REVISIONS["finetune"],
    script:
        "../workflow_scripts/finetune.py"


rule train_mc_dropout:
    input:
        checkpoint=rules.finetune.output.checkpoint,
        samples=rules.prepare_dataset.output.samples,
        splits=rules.draw_splits.output.splits,
        card=rules.prepare_dataset.output.card,
    output:
        checkpoint="results/checkpoints/{dataset}/{model}/mc_dropout/seed{seed}.safetensors",
        curve="results/checkpoints/{dataset}/{model}/mc_dropout/seed{seed}.curve.parquet",
    log:
        "results/logs/train_mc_dropout/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/train_mc_dropout/{dataset}/{model}/seed{seed}.tsv"
    conda:
        "../envs/train.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=GPUS,
    params:
        recipe=mc_dropout_recipe,
        facts=facts,
        revision=REVISIONS["train_mc_dropout"],
    script:
        "../workflow_scripts/train_mc_dropout.py"

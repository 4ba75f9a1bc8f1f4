rule prepare_dataset:
    output:
        samples="results/datasets/{dataset}/samples.parquet",
        shift="results/datasets/{dataset}/shift.parquet",
        card="results/datasets/{dataset}/dataset.json",
    log:
        "results/logs/prepare_dataset/{dataset}.log",
    benchmark:
        "results/benchmarks/prepare_dataset/{dataset}.tsv"
    conda:
        "../envs/datasets.yaml"
    params:
        recipe=dataset_recipe,
        facts=facts,
        revision=REVISIONS["prepare_dataset"],
    script:
        "../workflow_scripts/prepare_dataset.py"


rule draw_splits:
    input:
        samples=rules.prepare_dataset.output.samples,
        card=rules.prepare_dataset.output.card,
    output:
        splits="results/datasets/{dataset}/splits/seed{seed}.parquet",
    log:
        "results/logs/draw_splits/{dataset}/seed{seed}.log",
    benchmark:
        "results/benchmarks/draw_splits/{dataset}/seed{seed}.tsv"
    conda:
        "../envs/datasets.yaml"
    params:
        sizes=split_sizes,
        facts=facts,
        revision=REVISIONS["draw_splits"],
    script:
        "../workflow_scripts/draw_splits.py"

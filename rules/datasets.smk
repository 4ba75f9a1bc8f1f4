rule download_dataset:
    output:
        f"{DOWNLOADS}/{{source}}/{{file}}",
    log:
        "results/logs/download_dataset/{source}/{file}.log",
    benchmark:
        "results/benchmarks/download_dataset/{source}/{file}.tsv"
    # Computing nodes of clusters often have no way out.
    localrule: True
    conda:
        "../envs/datasets.yaml"
    envmodules:
        *MODULES["datasets"],
    params:
        file=remote_file,
        revision=REVISIONS["download_dataset"],
    script:
        "../workflow_scripts/download_dataset.py"


rule prepare_dataset:
    input:
        unpack(dataset_sources),
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
    envmodules:
        *MODULES["datasets"],
    threads: THREADS
    resources:
        mem_mb=memory(4_000),
        runtime=240,
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
    envmodules:
        *MODULES["datasets"],
    resources:
        mem_mb=memory(1_000),
        runtime=30,
    params:
        sizes=split_sizes,
        facts=facts,
        revision=REVISIONS["draw_splits"],
    script:
        "../workflow_scripts/draw_splits.py"

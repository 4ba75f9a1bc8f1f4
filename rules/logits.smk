rule cache_logits:
    input:
        checkpoint="results/checkpoints/{dataset}/{model}/{recipe}/seed{seed}.safetensors",
        samples=rules.prepare_dataset.output.samples,
        shift=rules.prepare_dataset.output.shift,
        splits=rules.draw_splits.output.splits,
        card=rules.prepare_dataset.output.card,
    output:
        val="results/logits/{dataset}/{model}/{recipe}/seed{seed}/val.parquet",
        test="results/logits/{dataset}/{model}/{recipe}/seed{seed}/test.parquet",
        shift="results/logits/{dataset}/{model}/{recipe}/seed{seed}/shift.parquet",
    log:
        "results/logs/cache_logits/{dataset}/{model}/{recipe}/seed{seed}.log",
    benchmark:
        "results/benchmarks/cache_logits/{dataset}/{model}/{recipe}/seed{seed}.tsv"
    wildcard_constraints:
        model=one_of(IMAGE_MODELS),
    conda:
        "../envs/logits.yaml"
    envmodules:
        *MODULES["logits"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(4_000),
        runtime=240,
    params:
        facts=facts,
        revision=REVISIONS["cache_logits"],
    script:
        "../workflow_scripts/cache_logits.py"


# The recipes of a sweep are cached by one job.
ruleorder: cache_sweep > cache_logits


rule cache_sweep:
    input:
        checkpoints=rules.gatekeeper.output.checkpoints,
        samples=rules.prepare_dataset.output.samples,
        shift=rules.prepare_dataset.output.shift,
        splits=rules.draw_splits.output.splits,
        card=rules.prepare_dataset.output.card,
    output:
        val=of_sweep("results/logits/{dataset}/{model}/{recipe}/seed{seed}/val.parquet"),
        test=of_sweep(
            "results/logits/{dataset}/{model}/{recipe}/seed{seed}/test.parquet"
        ),
        shift=of_sweep(
            "results/logits/{dataset}/{model}/{recipe}/seed{seed}/shift.parquet"
        ),
    log:
        "results/logs/cache_sweep/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/cache_sweep/{dataset}/{model}/seed{seed}.tsv"
    wildcard_constraints:
        model=one_of(GATEKEPT_IMAGE_MODELS),
    conda:
        "../envs/logits.yaml"
    envmodules:
        *MODULES["logits"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(4_000),
        runtime=240,
    params:
        recipes=SWEEP,
        facts=facts,
        revision=REVISIONS["cache_sweep"],
    script:
        "../workflow_scripts/cache_sweep.py"


# Passes have no weights of their own to run.
ruleorder: cache_passes > cache_logits


rule cache_passes:
    input:
        checkpoint="results/checkpoints/{dataset}/{model}/finetune/seed{seed}.safetensors",
        samples=rules.prepare_dataset.output.samples,
        shift=rules.prepare_dataset.output.shift,
        splits=rules.draw_splits.output.splits,
        card=rules.prepare_dataset.output.card,
    output:
        **{
            split: f"results/logits/{{dataset}}/{{model}}/passes/seed{{seed}}/{split}.parquet"
            for split in FULL_NETWORK["splits"]
        },
    log:
        "results/logs/cache_passes/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/cache_passes/{dataset}/{model}/seed{seed}.tsv"
    wildcard_constraints:
        model=one_of(FULL_NETWORK["models"]),
    conda:
        "../envs/logits.yaml"
    envmodules:
        *MODULES["logits"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(4_000),
        runtime=720,
    params:
        passes=FULL_NETWORK["passes"],
        facts=facts,
        revision=REVISIONS["cache_passes"],
    script:
        "../workflow_scripts/cache_passes.py"


rule import_logits:
    input:
        foreign_files,
    output:
        val="results/logits/{dataset}/{model}/{recipe}/seed{seed}/val.parquet",
        test="results/logits/{dataset}/{model}/{recipe}/seed{seed}/test.parquet",
        shift="results/logits/{dataset}/{model}/{recipe}/seed{seed}/shift.parquet",
    log:
        "results/logs/import_logits/{dataset}/{model}/{recipe}/seed{seed}.log",
    benchmark:
        "results/benchmarks/import_logits/{dataset}/{model}/{recipe}/seed{seed}.tsv"
    wildcard_constraints:
        model=one_of(IMPORTED_MODELS),
        recipe="imported",
    conda:
        "../envs/evaluate.yaml"
    envmodules:
        *MODULES["evaluate"],
    resources:
        mem_mb=memory(4_000),
        runtime=60,
    params:
        # Names the files, too: another file instead of one is no reason to re-run (see the
        # profile), and must be one here.
        request=import_request,
        facts=facts,
        code=fingerprint("import_logits", "logit_cache", "datasets"),
    script:
        "../workflow_scripts/import_logits.py"

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
    conda:
        "../envs/logits.yaml"
    threads: config["compute"]["threads"]
    resources:
        gpu=GPUS,
    params:
        facts=facts,
        revision=REVISIONS["cache_logits"],
    script:
        "../workflow_scripts/cache_logits.py"

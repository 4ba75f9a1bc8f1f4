rule quantise:
    input:
        unpack(training_data),
        checkpoint=rules.train_mc_dropout.output.checkpoint,
    output:
        float_file="results/quantised/{dataset}/{model}/seed{seed}.float.onnx",
        int8_file="results/quantised/{dataset}/{model}/seed{seed}.int8.onnx",
        errors="results/quantised/{dataset}/{model}/seed{seed}.layers.parquet",
        report="results/quantised/{dataset}/{model}/seed{seed}.json",
    log:
        "results/logs/quantise/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/quantise/{dataset}/{model}/seed{seed}.tsv"
    wildcard_constraints:
        model=one_of(QUANTISED_MODELS),
    conda:
        "../envs/quantise.yaml"
    envmodules:
        *MODULES["quantise"],
    threads: THREADS
    resources:
        mem_mb=memory(4_000),
        runtime=120,
    params:
        calibration_images=recipes.calibration_images(config),
        facts=facts,
        revision=REVISIONS["quantise"],
    script:
        "../workflow_scripts/quantise.py"


# An ONNX file is no checkpoint.
ruleorder: cache_int8_logits > cache_logits


rule cache_int8_logits:
    input:
        network=rules.quantise.output.int8_file,
        samples=rules.prepare_dataset.output.samples,
        shift=rules.prepare_dataset.output.shift,
        splits=rules.draw_splits.output.splits,
        card=rules.prepare_dataset.output.card,
    output:
        val="results/logits/{dataset}/{model}/mc_dropout_int8/seed{seed}/val.parquet",
        test="results/logits/{dataset}/{model}/mc_dropout_int8/seed{seed}/test.parquet",
        shift="results/logits/{dataset}/{model}/mc_dropout_int8/seed{seed}/shift.parquet",
    log:
        "results/logs/cache_int8_logits/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/cache_int8_logits/{dataset}/{model}/seed{seed}.tsv"
    wildcard_constraints:
        model=one_of(QUANTISED_MODELS),
    conda:
        "../envs/quantise.yaml"
    envmodules:
        *MODULES["quantise"],
    threads: THREADS
    resources:
        mem_mb=memory(4_000),
        runtime=720,
    params:
        facts=facts,
        revision=REVISIONS["cache_int8_logits"],
    script:
        "../workflow_scripts/cache_int8_logits.py"

rule ensemble_trials:
    input:
        unpack(trial_logits),
    output:
        val="results/logits/{dataset}/{model}/trial_ensemble/seed{seed}/val.parquet",
        test="results/logits/{dataset}/{model}/trial_ensemble/seed{seed}/test.parquet",
        shift="results/logits/{dataset}/{model}/trial_ensemble/seed{seed}/shift.parquet",
    log:
        "results/logs/ensemble_trials/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/ensemble_trials/{dataset}/{model}/seed{seed}.tsv"
    conda:
        "../envs/evaluate.yaml"
    envmodules:
        *MODULES["evaluate"],
    resources:
        mem_mb=memory(4_000),
        runtime=60,
    params:
        ensemble=trial_ensemble,
        # Like the names of trials in train.smk, these say which input files there are: a set that
        # grew is no reason to re-run (see the profile), and must be one here.
        trials=trial_names,
        facts=facts,
        code=fingerprint(
            "ensemble_trials",
            "evaluation",
            "kernels",
            "methods",
            "metrics",
            "logit_cache",
        ),
    script:
        "../workflow_scripts/ensemble_trials.py"


# The trials' ensemble has no weights of its own to run.
ruleorder: ensemble_trials > cache_logits


rule evaluate_single:
    input:
        unpack(single_logits),
        flops=rules.count_flops.output.flops,
    output:
        metrics="results/evaluation/single/{dataset}/{model}/metrics.parquet",
        curves="results/evaluation/single/{dataset}/{model}/curves.parquet",
        fits="results/evaluation/single/{dataset}/{model}/fits.parquet",
        parts="results/evaluation/single/{dataset}/{model}/parts.parquet",
        sources="results/evaluation/single/{dataset}/{model}/sources.json",
    log:
        "results/logs/evaluate_single/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/evaluate_single/{dataset}/{model}.tsv"
    conda:
        "../envs/evaluate.yaml"
    envmodules:
        *MODULES["evaluate"],
    resources:
        mem_mb=memory(4_000),
        runtime=120,
    params:
        seeds=SEEDS,
        evaluation=EVALUATION,
        # These name input files, too.
        recipes=evaluated_recipes,
        facts=facts,
        code=fingerprint(
            "evaluate_single",
            "evaluation",
            "kernels",
            "methods",
            "metrics",
            "logit_cache",
        ),
    script:
        "../workflow_scripts/evaluate_single.py"


rule evaluate_pairs:
    input:
        unpack(pair_inputs),
    output:
        metrics="results/evaluation/pairs/{dataset}/{model}/metrics.parquet",
        curves="results/evaluation/pairs/{dataset}/{model}/curves.parquet",
        fits="results/evaluation/pairs/{dataset}/{model}/fits.parquet",
        parts="results/evaluation/pairs/{dataset}/{model}/parts.parquet",
    log:
        "results/logs/evaluate_pairs/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/evaluate_pairs/{dataset}/{model}.tsv"
    conda:
        "../envs/evaluate.yaml"
    envmodules:
        *MODULES["evaluate"],
    resources:
        mem_mb=memory(4_000),
        runtime=720,
    params:
        seeds=SEEDS,
        cascade=CASCADE,
        budgets=sorted(config.get("duo", {}).get("budgets", [])),
        evaluation=EVALUATION,
        facts=facts,
        code=fingerprint(
            "evaluate_pairs",
            "evaluation",
            "kernels",
            "methods",
            "metrics",
            "logit_cache",
        ),
    script:
        "../workflow_scripts/evaluate_pairs.py"


rule evaluate_mc_dropout:
    input:
        unpack(mc_dropout_logits),
        # Of these only the heads are read; those of int8 files are their roundings.
        checkpoints=expand(
            "results/checkpoints/{dataset}/{model}/mc_dropout/seed{seed}.safetensors",
            seed=SEEDS,
            allow_missing=True,
        ),
        flops=rules.count_flops.output.flops,
    output:
        metrics="results/evaluation/mc_dropout/{dataset}/{model}/metrics.parquet",
        curves="results/evaluation/mc_dropout/{dataset}/{model}/curves.parquet",
        fits="results/evaluation/mc_dropout/{dataset}/{model}/fits.parquet",
        examples="results/evaluation/mc_dropout/{dataset}/{model}/examples.parquet",
    log:
        "results/logs/evaluate_mc_dropout/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/evaluate_mc_dropout/{dataset}/{model}.tsv"
    conda:
        "../envs/evaluate.yaml"
    envmodules:
        *MODULES["evaluate"],
    resources:
        mem_mb=memory(4_000),
        runtime=120,
    params:
        seeds=SEEDS,
        passes=sorted(config.get("mc_dropout", {}).get("passes", [])),
        # These name input files, too.
        recipes=mc_dropout_recipes,
        levels=config.get("mc_dropout", {}).get("levels"),
        evaluation=EVALUATION,
        facts=facts,
        code=fingerprint(
            "evaluate_mc_dropout",
            "evaluation",
            "kernels",
            "methods",
            "metrics",
            "logit_cache",
            "quantisation/rounding",
        ),
    script:
        "../workflow_scripts/evaluate_mc_dropout.py"


rule evaluate_passes:
    input:
        unpack(passes_logits),
        flops=rules.count_flops.output.flops,
    output:
        metrics="results/evaluation/passes/{dataset}/{model}/metrics.parquet",
        curves="results/evaluation/passes/{dataset}/{model}/curves.parquet",
        fits="results/evaluation/passes/{dataset}/{model}/fits.parquet",
    log:
        "results/logs/evaluate_passes/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/evaluate_passes/{dataset}/{model}.tsv"
    conda:
        "../envs/evaluate.yaml"
    envmodules:
        *MODULES["evaluate"],
    resources:
        mem_mb=memory(4_000),
        runtime=120,
    params:
        seeds=SEEDS,
        passes=FULL_NETWORK["passes"],
        splits=FULL_NETWORK["splits"],
        levels=config.get("mc_dropout", {}).get("levels"),
        evaluation=EVALUATION,
        facts=facts,
        code=fingerprint(
            "evaluate_passes",
            "evaluation",
            "kernels",
            "methods",
            "metrics",
            "logit_cache",
        ),
    script:
        "../workflow_scripts/evaluate_passes.py"


rule evaluate_gatekeeper:
    input:
        unpack(gatekeeper_inputs),
    output:
        metrics="results/evaluation/gatekeeper/{dataset}/{model}/metrics.parquet",
        curves="results/evaluation/gatekeeper/{dataset}/{model}/curves.parquet",
        fits="results/evaluation/gatekeeper/{dataset}/{model}/fits.parquet",
        parts="results/evaluation/gatekeeper/{dataset}/{model}/parts.parquet",
    log:
        "results/logs/evaluate_gatekeeper/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/evaluate_gatekeeper/{dataset}/{model}.tsv"
    conda:
        "../envs/evaluate.yaml"
    envmodules:
        *MODULES["evaluate"],
    resources:
        mem_mb=memory(4_000),
        runtime=240,
    params:
        pair=gatekeeper_pair,
        seeds=SEEDS,
        cascade=CASCADE,
        evaluation=EVALUATION,
        # The script does not need these; they say which input files there are.
        recipes=gatekept_recipes,
        facts=facts,
        code=fingerprint(
            "evaluate_gatekeeper",
            "evaluation",
            "kernels",
            "methods",
            "metrics",
            "logit_cache",
        ),
    script:
        "../workflow_scripts/evaluate_gatekeeper.py"

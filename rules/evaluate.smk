rule evaluate_single:
    input:
        unpack(single_logits),
        flops=rules.count_flops.output.flops,
    output:
        metrics="results/evaluation/single/{dataset}/{model}/metrics.parquet",
        curves="results/evaluation/single/{dataset}/{model}/curves.parquet",
        fits="results/evaluation/single/{dataset}/{model}/fits.parquet",
    log:
        "results/logs/evaluate_single/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/evaluate_single/{dataset}/{model}.tsv"
    conda:
        "../envs/evaluate.yaml"
    params:
        seeds=SEEDS,
        evaluation=EVALUATION,
        # Like the names of trials in train.smk, these say which input files there are: a set that
        # grew is no reason to re-run (see the profile), and must be one here.
        recipes=evaluated_recipes,
        trial_ensemble=trial_ensemble,
        facts=facts,
        code=fingerprint(
            "evaluate_single", "evaluation", "methods", "metrics", "logit_cache"
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
    log:
        "results/logs/evaluate_pairs/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/evaluate_pairs/{dataset}/{model}.tsv"
    conda:
        "../envs/evaluate.yaml"
    params:
        seeds=SEEDS,
        deferral_ratios=config["cascade"]["deferral_ratios"],
        evaluation=EVALUATION,
        facts=facts,
        code=fingerprint(
            "evaluate_pairs", "evaluation", "methods", "metrics", "logit_cache"
        ),
    script:
        "../workflow_scripts/evaluate_pairs.py"


rule evaluate_mc_dropout:
    input:
        unpack(mc_dropout_logits),
        checkpoints=expand(
            rules.train_mc_dropout.output.checkpoint, seed=SEEDS, allow_missing=True
        ),
        flops=rules.count_flops.output.flops,
    output:
        metrics="results/evaluation/mc_dropout/{dataset}/{model}/metrics.parquet",
        curves="results/evaluation/mc_dropout/{dataset}/{model}/curves.parquet",
        fits="results/evaluation/mc_dropout/{dataset}/{model}/fits.parquet",
    log:
        "results/logs/evaluate_mc_dropout/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/evaluate_mc_dropout/{dataset}/{model}.tsv"
    conda:
        "../envs/evaluate.yaml"
    params:
        seeds=SEEDS,
        passes=config.get("mc_dropout", {}).get("passes"),
        levels=config.get("mc_dropout", {}).get("levels"),
        evaluation=EVALUATION,
        facts=facts,
        code=fingerprint(
            "evaluate_mc_dropout", "evaluation", "methods", "metrics", "logit_cache"
        ),
    script:
        "../workflow_scripts/evaluate_mc_dropout.py"

rule pick_examples:
    input:
        unpack(example_inputs),
        leaderboard=rules.collect_leaderboard.output.leaderboard,
        fits=rules.collect_leaderboard.output.fits,
    output:
        examples="results/leaderboard/examples/{dataset}.parquet",
    log:
        "results/logs/pick_examples/{dataset}.log",
    benchmark:
        "results/benchmarks/pick_examples/{dataset}.tsv"
    conda:
        "../envs/figures.yaml"
    envmodules:
        *MODULES["figures"],
    resources:
        mem_mb=memory(4_000),
        runtime=60,
    params:
        seed=SEEDS[0],
        classes=class_names,
        code=fingerprint(
            "pick_examples", "datasets", "leaderboard", "logit_cache", "metrics"
        ),
    script:
        "../workflow_scripts/pick_examples.py"

rule collect_leaderboard:
    input:
        metrics=evaluation_tables("metrics.parquet"),
        curves=evaluation_tables("curves.parquet"),
        fits=evaluation_tables("fits.parquet"),
        parts=evaluation_tables("parts.parquet", ["single", "pairs", "gatekeeper"]),
        quantisation_reports=quantised(rules.quantise.output.report),
        quantisation_errors=quantised(rules.quantise.output.errors),
    output:
        leaderboard="results/leaderboard/leaderboard.parquet",
        wide="results/leaderboard/leaderboard.csv",
        curves="results/leaderboard/curves.parquet",
        parts="results/leaderboard/parts.parquet",
        wide_parts="results/leaderboard/parts.csv",
        fits="results/leaderboard/fits.csv",
        findings="results/leaderboard/findings.csv",
        budgets="results/leaderboard/budgets.csv",
        promises="results/leaderboard/promises.csv",
        quantisation="results/leaderboard/quantisation.csv",
        summary="results/leaderboard/summary.txt",
    log:
        "results/logs/collect_leaderboard.log",
    benchmark:
        "results/benchmarks/collect_leaderboard.tsv"
    conda:
        "../envs/figures.yaml"
    params:
        benchmark=config["benchmark"],
        models=sorted(MODELS),
        # The script does not need this. But what comes or goes changes only the set of input
        # files, which is no reason to re-run (see the profile), and Snakemake asks for a missing
        # file only if the rule that reads it re-runs. In one param: the set of all is compared,
        # in which two equal lists would be one.
        contents={
            "datasets": DATASETS,
            "mc_dropout": MC_DROPOUT_MODELS,
            "quantised": QUANTISED_MODELS,
            "full_network": FULL_NETWORK["models"],
            "gatekept": GATEKEPT_MODELS,
            "seeds": SEEDS,
        },
        code=fingerprint("collect_leaderboard", "evaluation/tables", "leaderboard"),
    script:
        "../workflow_scripts/collect_leaderboard.py"


rule plot_leaderboard:
    input:
        leaderboard=rules.collect_leaderboard.output.leaderboard,
        curves=rules.collect_leaderboard.output.curves,
        fits=rules.collect_leaderboard.output.fits,
        parts=rules.collect_leaderboard.output.parts,
    output:
        [
            f"results/leaderboard/figures/{dataset}/{figure}.{format}"
            for dataset in DATASETS
            for figure in figures_of(dataset)
            for format in ("svg", "png")
        ],
    log:
        "results/logs/plot_leaderboard.log",
    benchmark:
        "results/benchmarks/plot_leaderboard.tsv"
    conda:
        "../envs/figures.yaml"
    params:
        level=config["evaluation"]["level"],
        code=fingerprint("plot_leaderboard", "leaderboard", "metrics"),
    script:
        "../workflow_scripts/plot_leaderboard.py"


rule plot_mc_dropout_examples:
    input:
        examples=rules.evaluate_mc_dropout.output.examples,
        samples=rules.prepare_dataset.output.samples,
        shift=rules.prepare_dataset.output.shift,
        splits=f"results/datasets/{{dataset}}/splits/seed{SEEDS[0]}.parquet",
        card=rules.prepare_dataset.output.card,
    output:
        expand(
            "results/leaderboard/figures/{{dataset}}/mc_dropout_examples/{{model}}.{format}",
            format=["svg", "png"],
        ),
    log:
        "results/logs/plot_mc_dropout_examples/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/plot_mc_dropout_examples/{dataset}/{model}.tsv"
    conda:
        "../envs/figures.yaml"
    params:
        code=fingerprint(
            "plot_mc_dropout_examples", "datasets", "leaderboard", "metrics"
        ),
    script:
        "../workflow_scripts/plot_mc_dropout_examples.py"

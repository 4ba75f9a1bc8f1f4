rule collect_leaderboard:
    input:
        metrics=evaluation_tables("metrics.parquet"),
        curves=evaluation_tables("curves.parquet"),
        fits=evaluation_tables("fits.parquet"),
    output:
        leaderboard="results/leaderboard/leaderboard.parquet",
        wide="results/leaderboard/leaderboard.csv",
        curves="results/leaderboard/curves.parquet",
        fits="results/leaderboard/fits.csv",
        findings="results/leaderboard/findings.csv",
        budgets="results/leaderboard/budgets.csv",
        promises="results/leaderboard/promises.csv",
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
        # The script does not need these. But what comes or goes changes only the set of input
        # files, which is no reason to re-run (see the profile), and Snakemake asks for a missing
        # file only if the rule that reads it re-runs.
        datasets=DATASETS,
        mc_dropout_models=MC_DROPOUT_MODELS,
        gatekept_models=GATEKEPT_MODELS,
        code=fingerprint("collect_leaderboard", "leaderboard"),
    script:
        "../workflow_scripts/collect_leaderboard.py"


rule plot_leaderboard:
    input:
        leaderboard=rules.collect_leaderboard.output.leaderboard,
        curves=rules.collect_leaderboard.output.curves,
        fits=rules.collect_leaderboard.output.fits,
    output:
        expand(
            "results/leaderboard/figures/{dataset}/{figure}.{format}",
            dataset=DATASETS,
            figure=FIGURES,
            format=["svg", "png"],
        ),
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

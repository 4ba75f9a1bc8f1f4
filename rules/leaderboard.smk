rule collect_leaderboard:
    input:
        metrics=evaluation_tables("metrics.parquet"),
        curves=evaluation_tables("curves.parquet"),
        fits=evaluation_tables("fits.parquet"),
        code=library_code("leaderboard"),
    output:
        leaderboard="results/leaderboard/leaderboard.parquet",
        wide="results/leaderboard/leaderboard.csv",
        curves="results/leaderboard/curves.parquet",
        fits="results/leaderboard/fits.csv",
        summary="results/leaderboard/summary.txt",
    log:
        "results/logs/collect_leaderboard.log",
    benchmark:
        "results/benchmarks/collect_leaderboard.tsv"
    conda:
        "../envs/figures.yaml"
    params:
        # Listed in the board's order; a removed model re-runs this rule although its files stay.
        models=sorted(MODELS),
        benchmark=config["benchmark"],
    script:
        "../workflow_scripts/collect_leaderboard.py"


rule plot_leaderboard:
    input:
        leaderboard=rules.collect_leaderboard.output.leaderboard,
        curves=rules.collect_leaderboard.output.curves,
        code=library_code("leaderboard"),
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
    script:
        "../workflow_scripts/plot_leaderboard.py"

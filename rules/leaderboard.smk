report: "report/workflow.rst"


FIGURES = [(dataset, figure) for dataset in DATASETS for figure in figures_of(dataset)]


rule collect_leaderboard:
    input:
        metrics=evaluation_tables("metrics.parquet"),
        curves=evaluation_tables("curves.parquet"),
        fits=evaluation_tables("fits.parquet"),
        parts=evaluation_tables("parts.parquet", ["single", "pairs", "gatekeeper"]),
        quantisation_reports=quantised(
            "results/quantised/{dataset}/{model}/seed{seed}.json"
        ),
        quantisation_errors=quantised(
            "results/quantised/{dataset}/{model}/seed{seed}.layers.parquet"
        ),
    output:
        leaderboard="results/leaderboard/leaderboard.parquet",
        wide=report(
            "results/leaderboard/leaderboard.csv",
            caption="report/tables/leaderboard.rst",
            category="7 Tables",
            labels={"table": "Leaderboard"},
        ),
        curves="results/leaderboard/curves.parquet",
        parts="results/leaderboard/parts.parquet",
        wide_parts=report(
            "results/leaderboard/parts.csv",
            caption="report/tables/parts.rst",
            category="7 Tables",
            labels={"table": "Parts of the test set"},
        ),
        fits="results/leaderboard/fits.csv",
        findings=report(
            "results/leaderboard/findings.csv",
            caption="report/tables/findings.rst",
            category="7 Tables",
            labels={"table": "Findings"},
        ),
        budgets=report(
            "results/leaderboard/budgets.csv",
            caption="report/tables/budgets.rst",
            category="7 Tables",
            labels={"table": "Budgets"},
        ),
        promises=report(
            "results/leaderboard/promises.csv",
            caption="report/tables/promises.rst",
            category="7 Tables",
            labels={"table": "Promises of thresholds"},
        ),
        quantisation=report(
            "results/leaderboard/quantisation.csv",
            caption="report/tables/quantisation.rst",
            category="7 Tables",
            labels={"table": "Quantisation"},
        ),
        summary=report(
            "results/leaderboard/summary.txt",
            caption="report/tables/summary.rst",
            category="1 Overview",
            subcategory="summary",
            labels={"text": "The answer for each dataset"},
        ),
    log:
        "results/logs/collect_leaderboard.log",
    benchmark:
        "results/benchmarks/collect_leaderboard.tsv"
    conda:
        "../envs/figures.yaml"
    envmodules:
        *MODULES["figures"],
    resources:
        mem_mb=memory(4_000),
        runtime=60,
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
        code=fingerprint("collect_leaderboard", "evaluation", "leaderboard", "metrics"),
    script:
        "../workflow_scripts/collect_leaderboard.py"


rule plot_leaderboard:
    input:
        leaderboard=rules.collect_leaderboard.output.leaderboard,
        curves=rules.collect_leaderboard.output.curves,
        fits=rules.collect_leaderboard.output.fits,
        parts=rules.collect_leaderboard.output.parts,
    output:
        [in_report(*figure) for figure in FIGURES],
        # The same as pixels, and what they show.
        [
            f"results/leaderboard/figures/{dataset}/{figure}.{format}"
            for dataset, figure in FIGURES
            for format in ("png", "csv")
        ],
    log:
        "results/logs/plot_leaderboard.log",
    benchmark:
        "results/benchmarks/plot_leaderboard.tsv"
    conda:
        "../envs/figures.yaml"
    envmodules:
        *MODULES["figures"],
    resources:
        mem_mb=memory(4_000),
        runtime=60,
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
        report(
            "results/leaderboard/figures/{dataset}/mc_dropout_examples/{model}.svg",
            caption="report/figures/mc_dropout_examples.rst",
            category="6 MC dropout",
            subcategory="{dataset}",
            labels={"figure": "Accepted and ignored: {model}"},
        ),
        multiext(
            "results/leaderboard/figures/{dataset}/mc_dropout_examples/{model}",
            ".png",
            ".csv",
        ),
    log:
        "results/logs/plot_mc_dropout_examples/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/plot_mc_dropout_examples/{dataset}/{model}.tsv"
    conda:
        "../envs/figures.yaml"
    envmodules:
        *MODULES["figures"],
    resources:
        mem_mb=memory(2_000),
        runtime=60,
    params:
        code=fingerprint(
            "plot_mc_dropout_examples", "datasets", "leaderboard", "metrics"
        ),
    script:
        "../workflow_scripts/plot_mc_dropout_examples.py"


MC_DROPOUT_EXAMPLES = of_models(
    "results/leaderboard/figures/{dataset}/mc_dropout_examples/{model}.{format}",
    MC_DROPOUT_MODELS,
    format=["svg", "png", "csv"],
)

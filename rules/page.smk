import yaml

CARDS = [
    f"results/datasets/{dataset}/dataset.json"
    for dataset in DATASETS
    if has_source(dataset)
]


rule render_page:
    input:
        leaderboard=rules.collect_leaderboard.output.leaderboard,
        curves=rules.collect_leaderboard.output.curves,
        fits=rules.collect_leaderboard.output.fits,
        findings=rules.collect_leaderboard.output.findings,
        budgets=rules.collect_leaderboard.output.budgets,
        promises=rules.collect_leaderboard.output.promises,
        cards=CARDS,
        examples=expand(
            "results/leaderboard/examples/{dataset}.parquet", dataset=DATASETS
        ),
        deployed=DEPLOYED,
    output:
        page="results/leaderboard/index.html",
    log:
        "results/logs/render_page.log",
    benchmark:
        "results/benchmarks/render_page.tsv"
    conda:
        "../envs/figures.yaml"
    envmodules:
        *MODULES["figures"],
    resources:
        mem_mb=memory(4_000),
        runtime=60,
    params:
        # The page shows how long the jobs before it took: a folder, for that is no reason to run.
        times="results/benchmarks",
        # Its content, not the file: the place of a checkout is no reason to run either.
        citation=yaml.safe_load((LIBRARY.parents[1] / "CITATION.cff").read_text()),
        # The script does not need this; it says which input files there are. In one param: the set
        # of all is compared, in which two equal lists would be one.
        contents={"datasets": DATASETS, "cards": CARDS, "deployed": DEPLOYED},
        code=fingerprint("render_page", "leaderboard", "metrics"),
    script:
        "../workflow_scripts/render_page.py"

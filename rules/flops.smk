rule count_flops:
    input:
        card=rules.prepare_dataset.output.card,
    output:
        flops="results/flops/{dataset}/{model}.json",
    log:
        "results/logs/count_flops/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/count_flops/{dataset}/{model}.tsv"
    conda:
        "../envs/flops.yaml"
    params:
        architecture=architecture,
        facts=facts,
        code=fingerprint("count_flops", "flops", "models"),
    script:
        "../workflow_scripts/count_flops.py"

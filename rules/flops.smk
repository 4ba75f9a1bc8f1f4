rule count_flops:
    input:
        card=rules.prepare_dataset.output.card,
    output:
        flops="results/flops/{dataset}/{model}.json",
    log:
        "results/logs/count_flops/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/count_flops/{dataset}/{model}.tsv"
    wildcard_constraints:
        model=one_of(IMAGE_MODELS),
    conda:
        "../envs/flops.yaml"
    envmodules:
        *MODULES["flops"],
    resources:
        mem_mb=memory(4_000),
        runtime=60,
    params:
        architecture=architecture,
        facts=facts,
        code=fingerprint("count_flops", "flops", "models"),
    script:
        "../workflow_scripts/count_flops.py"


rule state_flops:
    output:
        flops="results/flops/{dataset}/{model}.json",
    log:
        "results/logs/state_flops/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/state_flops/{dataset}/{model}.tsv"
    wildcard_constraints:
        model=one_of(IMPORTED_MODELS),
    conda:
        "../envs/evaluate.yaml"
    envmodules:
        *MODULES["evaluate"],
    resources:
        mem_mb=memory(1_000),
        runtime=30,
    params:
        gmacs=stated_gmacs,
        facts=facts,
        code=fingerprint("state_flops", "flops"),
    script:
        "../workflow_scripts/state_flops.py"

rule deploy:
    input:
        unpack(deployed_card),
        logits=deployed_logits,
        flops=deployed_flops,
    output:
        predictor="results/deployment/{dataset}/{deployment}.json",
    log:
        "results/logs/deploy/{dataset}/{deployment}.log",
    benchmark:
        "results/benchmarks/deploy/{dataset}/{deployment}.tsv"
    conda:
        "../envs/evaluate.yaml"
    envmodules:
        *MODULES["evaluate"],
    resources:
        mem_mb=memory(2_000),
        runtime=60,
    params:
        settings=deployment_settings,
        # The script does not need these; they say which input files there are.
        models=deployed_recipes,
        class_names=class_names,
        facts=facts,
        code=fingerprint(
            "deploy", "deployment", "methods", "kernels", "logit_cache", "datasets"
        ),
    script:
        "../workflow_scripts/deploy.py"

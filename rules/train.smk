# A searched model's `finetune` is the best of its trials.
ruleorder: select_trial > finetune


rule linear_probe:
    input:
        unpack(training_data),
    output:
        checkpoint="results/checkpoints/{dataset}/{model}/linear_probe/seed{seed}.safetensors",
        curve="results/checkpoints/{dataset}/{model}/linear_probe/seed{seed}.curve.parquet",
    log:
        "results/logs/linear_probe/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/linear_probe/{dataset}/{model}/seed{seed}.tsv"
    conda:
        "../envs/train.yaml"
    envmodules:
        *MODULES["train"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(4_000),
        runtime=240,
    params:
        architecture=architecture,
        recipe=linear_probe_recipe,
        facts=facts,
        revision=REVISIONS["linear_probe"],
    script:
        "../workflow_scripts/linear_probe.py"


rule finetune:
    input:
        unpack(training_data),
        probe=probe,
    output:
        checkpoint="results/checkpoints/{dataset}/{model}/{recipe}/seed{seed}.safetensors",
        curve="results/checkpoints/{dataset}/{model}/{recipe}/seed{seed}.curve.parquet",
    log:
        "results/logs/finetune/{dataset}/{model}/{recipe}/seed{seed}.log",
    benchmark:
        "results/benchmarks/finetune/{dataset}/{model}/{recipe}/seed{seed}.tsv"
    wildcard_constraints:
        recipe="finetune|trial[0-9]+",
        model=one_of(IMAGE_MODELS),
    conda:
        "../envs/train.yaml"
    envmodules:
        *MODULES["train"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(4_000),
        runtime=720,
    params:
        architecture=architecture,
        recipe=finetune_recipe,
        facts=facts,
        revision=REVISIONS["finetune"],
    script:
        "../workflow_scripts/finetune.py"


rule select_trial:
    input:
        trials=trials,
    output:
        checkpoint="results/checkpoints/{dataset}/{model}/finetune/seed{seed}.safetensors",
        curve="results/checkpoints/{dataset}/{model}/finetune/seed{seed}.curve.parquet",
    log:
        "results/logs/select_trial/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/select_trial/{dataset}/{model}/seed{seed}.tsv"
    wildcard_constraints:
        model=one_of(SEARCHED_MODELS),
    conda:
        "../envs/train.yaml"
    envmodules:
        *MODULES["train"],
    resources:
        mem_mb=memory(2_000),
        runtime=30,
    params:
        names=trial_names,
        facts=facts,
        revision=REVISIONS["select_trial"],
    script:
        "../workflow_scripts/select_trial.py"


rule make_soup:
    input:
        unpack(training_data),
        trials=trials,
    output:
        uniform="results/checkpoints/{dataset}/{model}/soup_uniform/seed{seed}.safetensors",
        greedy="results/checkpoints/{dataset}/{model}/soup_greedy/seed{seed}.safetensors",
    log:
        "results/logs/make_soup/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/make_soup/{dataset}/{model}/seed{seed}.tsv"
    conda:
        "../envs/train.yaml"
    envmodules:
        *MODULES["train"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(4_000),
        runtime=240,
    params:
        names=trial_names,
        facts=facts,
        revision=REVISIONS["make_soup"],
    script:
        "../workflow_scripts/make_soup.py"


rule distill:
    input:
        unpack(training_data),
        probe=probe,
        teacher=teacher,
    output:
        checkpoint="results/checkpoints/{dataset}/{model}/distill/seed{seed}.safetensors",
        curve="results/checkpoints/{dataset}/{model}/distill/seed{seed}.curve.parquet",
    log:
        "results/logs/distill/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/distill/{dataset}/{model}/seed{seed}.tsv"
    conda:
        "../envs/train.yaml"
    envmodules:
        *MODULES["train"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(4_000),
        runtime=720,
    params:
        architecture=architecture,
        recipe=distill_recipe,
        # Another teacher may have weights that are older than the student's.
        teacher=teacher,
        facts=facts,
        revision=REVISIONS["distill"],
    script:
        "../workflow_scripts/distill.py"


rule gatekeeper:
    input:
        unpack(training_data),
        unpack(gatekeeper_checkpoints),
    output:
        checkpoints=of_sweep(
            "results/checkpoints/{dataset}/{model}/{recipe}/seed{seed}.safetensors"
        ),
        curves=of_sweep(
            "results/checkpoints/{dataset}/{model}/{recipe}/seed{seed}.curve.parquet"
        ),
    log:
        "results/logs/gatekeeper/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/gatekeeper/{dataset}/{model}/seed{seed}.tsv"
    wildcard_constraints:
        model=one_of(GATEKEPT_IMAGE_MODELS),
    conda:
        "../envs/train.yaml"
    envmodules:
        *MODULES["train"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(4_000),
        runtime=720,
    params:
        sweep=gatekeeper_sweep,
        # These name input files: others instead are no reason to re-run (see the profile), and
        # must be one here.
        start=gatekeeper_start,
        large=gatekeeper_partner,
        facts=facts,
        revision=REVISIONS["gatekeeper"],
    script:
        "../workflow_scripts/gatekeeper.py"


rule train_mc_dropout:
    input:
        unpack(training_data),
        checkpoint=mc_dropout_backbone,
    output:
        checkpoint="results/checkpoints/{dataset}/{model}/mc_dropout/seed{seed}.safetensors",
        curve="results/checkpoints/{dataset}/{model}/mc_dropout/seed{seed}.curve.parquet",
    log:
        "results/logs/train_mc_dropout/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/train_mc_dropout/{dataset}/{model}/seed{seed}.tsv"
    conda:
        "../envs/train.yaml"
    envmodules:
        *MODULES["train"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(4_000),
        runtime=240,
    params:
        recipe=mc_dropout_recipe,
        facts=facts,
        revision=REVISIONS["train_mc_dropout"],
    script:
        "../workflow_scripts/train_mc_dropout.py"

# Language models: fine-tuned, tuned by Gatekeeper, counted and run here, evaluated like any other.


rule finetune_language:
    input:
        unpack(training_data),
    output:
        checkpoint="results/checkpoints/{dataset}/{model}/finetune/seed{seed}.safetensors",
        curve="results/checkpoints/{dataset}/{model}/finetune/seed{seed}.curve.parquet",
    log:
        "results/logs/finetune_language/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/finetune_language/{dataset}/{model}/seed{seed}.tsv"
    wildcard_constraints:
        model=one_of(TEXT_MODELS),
    conda:
        "../envs/language.yaml"
    envmodules:
        *MODULES["language"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(8_000),
        runtime=720,
    params:
        architecture=architecture,
        recipe=language_recipe,
        task=language_task,
        prompt=prompt_version,
        facts=facts,
        revision=REVISIONS["finetune_language"],
    script:
        "../workflow_scripts/finetune_language.py"


rule gatekeeper_language:
    input:
        unpack(training_data),
        start="results/checkpoints/{dataset}/{model}/finetune/seed{seed}.safetensors",
    output:
        checkpoints=of_sweep(
            "results/checkpoints/{dataset}/{model}/{recipe}/seed{seed}.safetensors"
        ),
        curves=of_sweep(
            "results/checkpoints/{dataset}/{model}/{recipe}/seed{seed}.curve.parquet"
        ),
    log:
        "results/logs/gatekeeper_language/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/gatekeeper_language/{dataset}/{model}/seed{seed}.tsv"
    wildcard_constraints:
        model=one_of(GATEKEPT_TEXT_MODELS),
    conda:
        "../envs/language.yaml"
    envmodules:
        *MODULES["language"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(8_000),
        runtime=720,
    params:
        sweep=language_sweep,
        task=language_task,
        prompt=prompt_version,
        facts=facts,
        revision=REVISIONS["gatekeeper_language"],
    script:
        "../workflow_scripts/gatekeeper_language.py"


rule count_language_flops:
    input:
        unpack(first_training_data),
    output:
        flops="results/flops/{dataset}/{model}.json",
    log:
        "results/logs/count_language_flops/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/count_language_flops/{dataset}/{model}.tsv"
    wildcard_constraints:
        model=one_of(TEXT_MODELS),
    conda:
        "../envs/language.yaml"
    envmodules:
        *MODULES["language"],
    resources:
        mem_mb=memory(4_000),
        runtime=60,
    params:
        architecture=architecture,
        task=language_task,
        prompt=prompt_version,
        seed=SEEDS[0],
        facts=facts,
        code=fingerprint(
            "count_language_flops", "datasets", "flops", "models", "prompts"
        ),
    script:
        "../workflow_scripts/count_language_flops.py"


rule cache_choices:
    input:
        unpack(training_data),
        checkpoint=rules.finetune_language.output.checkpoint,
    output:
        val="results/logits/{dataset}/{model}/finetune/seed{seed}/val.parquet",
        test="results/logits/{dataset}/{model}/finetune/seed{seed}/test.parquet",
        shift="results/logits/{dataset}/{model}/finetune/seed{seed}/shift.parquet",
    log:
        "results/logs/cache_choices/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/cache_choices/{dataset}/{model}/seed{seed}.tsv"
    wildcard_constraints:
        dataset=one_of(CLASSIFIED),
        model=one_of(TEXT_MODELS),
    conda:
        "../envs/language.yaml"
    envmodules:
        *MODULES["language"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(8_000),
        runtime=240,
    params:
        task=language_task,
        prompt=prompt_version,
        facts=facts,
        revision=REVISIONS["cache_choices"],
    script:
        "../workflow_scripts/cache_choices.py"


rule cache_choice_sweep:
    input:
        unpack(training_data),
        checkpoints=rules.gatekeeper_language.output.checkpoints,
    output:
        val=of_sweep("results/logits/{dataset}/{model}/{recipe}/seed{seed}/val.parquet"),
        test=of_sweep(
            "results/logits/{dataset}/{model}/{recipe}/seed{seed}/test.parquet"
        ),
        shift=of_sweep(
            "results/logits/{dataset}/{model}/{recipe}/seed{seed}/shift.parquet"
        ),
    log:
        "results/logs/cache_choice_sweep/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/cache_choice_sweep/{dataset}/{model}/seed{seed}.tsv"
    wildcard_constraints:
        dataset=one_of(CLASSIFIED),
        model=one_of(GATEKEPT_TEXT_MODELS),
    conda:
        "../envs/language.yaml"
    envmodules:
        *MODULES["language"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(8_000),
        runtime=720,
    params:
        recipes=SWEEP,
        task=language_task,
        prompt=prompt_version,
        facts=facts,
        revision=REVISIONS["cache_choice_sweep"],
    script:
        "../workflow_scripts/cache_choice_sweep.py"


# The same weights, asked with one more sentence.
rule cache_hedge:
    input:
        unpack(training_data),
        checkpoint=rules.finetune_language.output.checkpoint,
    output:
        val="results/logits/{dataset}/{model}/hedge_{hedge}/seed{seed}/val.parquet",
        test="results/logits/{dataset}/{model}/hedge_{hedge}/seed{seed}/test.parquet",
        shift="results/logits/{dataset}/{model}/hedge_{hedge}/seed{seed}/shift.parquet",
    log:
        "results/logs/cache_hedge/{dataset}/{model}/{hedge}/seed{seed}.log",
    benchmark:
        "results/benchmarks/cache_hedge/{dataset}/{model}/{hedge}/seed{seed}.tsv"
    wildcard_constraints:
        dataset=one_of(CLASSIFIED),
        model=one_of(GATEKEPT_TEXT_MODELS),
        hedge="[a-z_]+",
    conda:
        "../envs/language.yaml"
    envmodules:
        *MODULES["language"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(8_000),
        runtime=240,
    params:
        task=language_task,
        prompt=prompt_version,
        facts=facts,
        revision=REVISIONS["cache_hedge"],
    script:
        "../workflow_scripts/cache_hedge.py"


rule cache_generations:
    input:
        unpack(training_data),
        checkpoint=rules.finetune_language.output.checkpoint,
    output:
        val="results/generations/{dataset}/{model}/finetune/seed{seed}/val.parquet",
        test="results/generations/{dataset}/{model}/finetune/seed{seed}/test.parquet",
    log:
        "results/logs/cache_generations/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/cache_generations/{dataset}/{model}/seed{seed}.tsv"
    wildcard_constraints:
        dataset=one_of(GENERATED),
        model=one_of(TEXT_MODELS),
    conda:
        "../envs/language.yaml"
    envmodules:
        *MODULES["language"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(8_000),
        runtime=720,
    params:
        task=language_task,
        prompt=prompt_version,
        facts=facts,
        revision=REVISIONS["cache_generations"],
    script:
        "../workflow_scripts/cache_generations.py"


rule cache_generation_sweep:
    input:
        unpack(training_data),
        checkpoints=rules.gatekeeper_language.output.checkpoints,
    output:
        val=of_sweep(
            "results/generations/{dataset}/{model}/{recipe}/seed{seed}/val.parquet"
        ),
        test=of_sweep(
            "results/generations/{dataset}/{model}/{recipe}/seed{seed}/test.parquet"
        ),
    log:
        "results/logs/cache_generation_sweep/{dataset}/{model}/seed{seed}.log",
    benchmark:
        "results/benchmarks/cache_generation_sweep/{dataset}/{model}/seed{seed}.tsv"
    wildcard_constraints:
        dataset=one_of(GENERATED),
        model=one_of(GATEKEPT_TEXT_MODELS),
    conda:
        "../envs/language.yaml"
    envmodules:
        *MODULES["language"],
    threads: THREADS
    resources:
        gpu=GPUS,
        mem_mb=memory(8_000),
        runtime=720,
    params:
        recipes=SWEEP,
        task=language_task,
        prompt=prompt_version,
        facts=facts,
        revision=REVISIONS["cache_generation_sweep"],
    script:
        "../workflow_scripts/cache_generation_sweep.py"


rule evaluate_generations:
    input:
        unpack(generation_inputs),
    output:
        metrics="results/evaluation/generations/{dataset}/{model}/metrics.parquet",
        curves="results/evaluation/generations/{dataset}/{model}/curves.parquet",
        fits="results/evaluation/generations/{dataset}/{model}/fits.parquet",
    log:
        "results/logs/evaluate_generations/{dataset}/{model}.log",
    benchmark:
        "results/benchmarks/evaluate_generations/{dataset}/{model}.tsv"
    wildcard_constraints:
        dataset=one_of(GENERATED),
        model=one_of(TEXT_MODELS),
    conda:
        "../envs/evaluate.yaml"
    envmodules:
        *MODULES["evaluate"],
    resources:
        mem_mb=memory(4_000),
        runtime=120,
    params:
        sweep=generation_sweep,
        seeds=SEEDS,
        cascade=CASCADE,
        evaluation=EVALUATION,
        # These name input files, too.
        recipes=generation_recipes,
        facts=facts,
        code=fingerprint(
            "evaluate_generations",
            "evaluation",
            "kernels",
            "methods",
            "metrics",
            "logit_cache",
        ),
    script:
        "../workflow_scripts/evaluate_generations.py"

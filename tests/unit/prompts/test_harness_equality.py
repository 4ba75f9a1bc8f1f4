"""Prompts equal, byte for byte, those that lm-evaluation-harness makes of the same rows."""

import pytest
import yaml
from lm_eval.filters.extraction import RegexFilter

from sidekick.prompts import load_prompt, read_answer, render
from unit.prompts.harness import (
    GSM8K,
    TASKS,
    arc_question,
    arc_rows,
    gsm8k_question,
    harness_task,
    mmlu_question,
    mmlu_rows,
    needs_real,
    task_config,
)

MMLU_SUBJECTS = ["abstract_algebra", "high_school_world_history", "us_foreign_policy"]


def require_equal(task, prompt, rows, shots, as_question, count):
    prompt = load_prompt(prompt)
    for row in rows:
        context = task.fewshot_context(row, num_fewshot=count)
        ours = render(prompt, as_question(row), [as_question(shot) for shot in shots[:count]])
        assert ours.context == context
        if prompt.protocol == "generate":
            continue
        requests = task.construct_requests(row, context)
        assert [(ours.context, one) for one in ours.continuations] == [
            request.args for request in requests
        ]
        right = task.doc_to_target(row)
        assert ours.target == ours.continuations[int(right)]


@needs_real
@pytest.mark.parametrize("count", [0, 3])
@pytest.mark.parametrize("name", ["ARC-Easy", "ARC-Challenge"])
def test_arc(name, count):
    rows, shots = arc_rows(name)[:60], arc_rows(name, "validation")[:5]
    assert {len(row["choices"]["text"]) for row in rows} >= {3, 4, 5}
    task = harness_task(f"arc/{name.lower().replace('-', '_')}.yaml", rows, shots)
    require_equal(task, "arc_option_text", rows, shots, arc_question, count)


@needs_real
@pytest.mark.parametrize("count", [0, 5])
@pytest.mark.parametrize("subject", MMLU_SUBJECTS)
@pytest.mark.parametrize(
    ("prompt", "path"),
    [
        ("mmlu_letter", "mmlu/default/mmlu_{}.yaml"),
        ("mmlu_option_text", "mmlu/continuation/mmlu_{}.yaml"),
    ],
)
def test_mmlu(prompt, path, subject, count):
    rows, shots = mmlu_rows(subject)[:20], mmlu_rows(subject, "dev")
    task = harness_task(path.format(subject), rows, shots)
    require_equal(task, prompt, rows, shots, mmlu_question, count)


@pytest.mark.parametrize(
    ("prompt", "folder"), [("mmlu_letter", "default"), ("mmlu_option_text", "continuation")]
)
def test_the_instruction_of_every_mmlu_subject(prompt, folder):
    prompt = load_prompt(prompt)
    paths = sorted((TASKS / "mmlu" / folder).glob("mmlu_*.yaml"))
    assert len(paths) == 57
    for path in paths:
        content = yaml.safe_load(path.read_text())
        subject = content["dataset_name"].replace("_", " ")
        assert prompt.instruction.format(subject=subject) + "\n\n" == content["description"]


@pytest.mark.parametrize("count", [0, 2])
def test_gsm8k(count):
    task = harness_task("gsm8k/gsm8k.yaml", GSM8K, GSM8K[1:])
    require_equal(task, "gsm8k", GSM8K[:1], GSM8K[1:], gsm8k_question, count)


def test_gsm8k_generation_settings():
    config, ours = task_config(TASKS / "gsm8k" / "gsm8k.yaml"), load_prompt("gsm8k").generation
    assert list(ours.until) == config["generation_kwargs"]["until"]
    strict, flexible = (entry["filter"][0] for entry in config["filter_list"])
    assert (ours.strict, ours.flexible) == (strict["regex_pattern"], flexible["regex_pattern"])
    assert list(ours.ignore) == config["metric_list"][0]["regexes_to_ignore"]


@pytest.mark.parametrize(
    "text",
    [
        " She has 36 eggs.\n#### 26",
        " 26 eggs are left",
        "#### 26. Then #### 30",
        "#### $26",
        "#### 2,6",
        "the answer is 26.",
        "so $26.00",
        "none",
        "",
        " - 5 26 -",
        "#### -26 26",
        "12 26.",
        ". , 26,",
    ],
)
def test_answers_are_read_as_the_harness_reads_them(text):
    row = GSM8K[0]
    task = harness_task("gsm8k/gsm8k.yaml", GSM8K, GSM8K)
    config = task_config(TASKS / "gsm8k" / "gsm8k.yaml")
    wanted = []
    for entry in config["filter_list"]:
        arguments = {key: value for key, value in entry["filter"][0].items() if key != "function"}
        (read,) = RegexFilter(**arguments).apply([[text]], [row])
        wanted.append((read[0], bool(task.process_results(row, [read[0]])["exact_match"])))
    found = read_answer(load_prompt("gsm8k").generation, text, row["answer"])
    assert found.prediction == wanted[0][0]
    assert (found.correct, found.correct_flexible) == (wanted[0][1], wanted[1][1])

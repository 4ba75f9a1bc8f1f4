"""Log-likelihoods and accuracies equal those of lm-evaluation-harness' Hugging Face model."""

import numpy as np
import pytest
from lm_eval.models.huggingface import HFLM

from sidekick.logit_cache.choice_items import read_task
from sidekick.logit_cache.scoring import score_items
from sidekick.models.language import create_language_model
from unit.models.published import FAMILIES, publish
from unit.prompts.harness import (
    arc_question,
    arc_rows,
    harness_task,
    mmlu_question,
    mmlu_rows,
    needs_real,
)

pytestmark = needs_real
ITEMS, CLASSES, TOLERANCE = 12, 5, 1e-4
ACCURACIES = {"acc": "none", "acc_norm": "characters", "acc_bytes": "bytes"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    texts = [row["question"] for row in arc_rows("ARC-Easy")]
    made = {}

    def get(family, **options):
        key = (family, *options.items())
        if key not in made:
            made[key] = publish(tmp_path_factory.mktemp(family), family, texts, **options)
        return made[key]

    return get


def arc():
    rows, shots = arc_rows()[:ITEMS], arc_rows("ARC-Challenge", "validation")[:3]
    return rows, shots, arc_question


def mmlu():
    subject = "global_facts"
    rows = sorted(mmlu_rows(subject), key=lambda row: len(row["question"]))
    return rows[:ITEMS], mmlu_rows(subject, "dev"), mmlu_question


CASES = {
    "arc_option_text": ("arc/arc_challenge.yaml", arc),
    "mmlu_option_text": ("mmlu/continuation/mmlu_global_facts.yaml", mmlu),
    "mmlu_letter": ("mmlu/default/mmlu_global_facts.yaml", mmlu),
}


def asked_by_harness(model, task, rows, count):
    """Give log-likelihoods, (rows, CLASSES) with -inf for absent options, and accuracies."""
    peer = HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=4)
    requests = [
        task.construct_requests(row, task.fewshot_context(row, num_fewshot=count)) for row in rows
    ]
    answers = iter(peer.loglikelihood([one for own in requests for one in own], disable_tqdm=True))
    likelihoods, results = np.full((len(rows), CLASSES), -np.inf), []
    for index, (row, own) in enumerate(zip(rows, requests, strict=True)):
        found = [next(answers) for _ in own]
        likelihoods[index, : len(found)] = [value for value, _ in found]
        results.append(task.process_results(row, found))
    return likelihoods, {key: np.mean([result[key] for result in results]) for key in results[0]}


def compare(model, prompt, count, token_budget=512):
    path, make = CASES[prompt]
    rows, shots, as_question = make()
    task = harness_task(path, rows, shots)
    letters = prompt.endswith("letter")
    task._metric_fn_list.update(dict.fromkeys([] if letters else ["acc_norm", "acc_bytes"]))
    wanted, accuracies = asked_by_harness(model, task, rows, count)
    questions = [as_question(row) for row in rows]
    worked = [as_question(row) for row in shots]
    labels = np.array([question.label for question in questions])
    for name, accuracy in accuracies.items():
        settings = {"prompt": prompt, "shots": count, "normalise": ACCURACIES[name]}
        found = score_items(model, read_task(settings), questions, worked, CLASSES, token_budget)
        assert (found["logits"].argmax(axis=1) == labels).mean() == accuracy
        if name == "acc":
            present = np.isfinite(wanted)
            assert (np.isfinite(found["logits"]) == present).all()
            np.testing.assert_allclose(
                found["logits"][present], wanted[present], rtol=0, atol=TOLERANCE
            )
            right = wanted[np.arange(len(rows)), labels]
            np.testing.assert_allclose(found["answer_nll"], -right, rtol=0, atol=TOLERANCE)
    assert len(accuracies) == (1 if letters else 3)
    # Otherwise the comparison of accuracies could not fail.
    assert wanted[np.isfinite(wanted)].std() > 0.5


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("prompt", CASES)
@pytest.mark.parametrize("family", FAMILIES)
def test_equal(folders, family, prompt, count):
    compare(create_language_model({"pretrained": folders(family)}), prompt, count)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("prompt", CASES)
def test_equal_where_items_are_longer_than_the_model_reads(folders, family, prompt, caplog):
    longest = 128
    model = create_language_model({"pretrained": folders(family, max_position_embeddings=longest)})
    compare(model, prompt, count=3)
    assert f"longer than the {longest} tokens" in caplog.text

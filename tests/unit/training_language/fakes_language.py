"""A tiny stand-in for a prepared dataset of questions, trivially learnable, and settings for it."""

import random

from sidekick.datasets.questions import Question

COLOURS = ("red", "green", "blue", "pink", "grey", "black")
SIZES = {"train": 240, "val": 60}
CARD = {"classes": list("ABCD"), "task": "multiple_choice", "main_metric": "accuracy"}
TASK = {"prompt": "graded_mcq"}

ENTRY = {
    "modality": "text",
    "architecture": "llama",
    "options": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    "tokenizer": "words",
}
RECIPE = {
    "steps": 6,
    "batch_size": 8,
    "learning_rate": 0.01,
    "weight_decay": 0.01,
    "options_loss": True,
    "validate_every": 2,
}


def questions(split, seed, long_answers=False):
    """Say the colour that is named; some questions are wordy, some have three options."""
    chance = random.Random(f"{split} {seed}")
    found = []
    for number in range(SIZES[split]):
        choices = chance.sample(COLOURS, 3 + number % 2)
        label = chance.randrange(len(choices))
        if long_answers:
            choices = [f"{choice} " * (1 + len(choice) % 3) + "paint" for choice in choices]
        wordy = "please " * chance.choice((0, 1, 5))
        found.append(
            Question(
                sample_id=f"{split}_{number:03d}",
                question=f"{wordy}say {choices[label]}",
                choices=tuple(choices),
                label=label,
                answer=choices[label],
                subject="",
                level="",
                part=split,
            )
        )
    return found


def open_questions(split, seed):
    """The same with a solution in place of options."""
    return [
        Question(q.sample_id, q.question, (), 0, f"it is {q.answer} #### {q.label}", "", "", q.part)
        for q in questions(split, seed)
    ]


def texts():
    """All words of the questions, for a tokenizer."""
    return [f"Question: {q.question}\nAnswer: {' '.join(q.choices)}" for q in questions("train", 0)]


def install(patch, read=questions, card=CARD):
    """Put the stand-in where training looks for datasets; `patch` as monkeypatch.setattr."""
    patch(
        "sidekick.training.language.encoding.read_questions",
        lambda folder, split, seed: read(split, seed),
    )
    patch("sidekick.training.language.encoding.read_shots", lambda folder: [])
    patch("sidekick.training.language.finetune.read_card", lambda folder: card)
    patch("sidekick.training.language.gatekeeper.read_card", lambda folder: card)

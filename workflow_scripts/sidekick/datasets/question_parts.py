"""Sort questions into parts that do not give each other away.

What is asked counts, not how it is spaced or capitalised. Published benchmarks ask some questions
twice, also in two parts. So that results can be compared with published ones, **test** keeps all
its questions. **train** and **val** lose those that are asked in test or among the worked examples;
train, those of val; and both, questions that they have had already, with the same options: a
question that was trained on, or tuned on, must not be tested on. Worked examples ("dev") keep what
test asks under another subject, as five of MMLU's do: examples are shown with questions of their
own subject.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sidekick.datasets.questions import Question

_PARTS = ("train", "val", "test", "dev")


def separate(questions: Sequence[Question], shots: int) -> tuple[list[Question], dict]:
    """Remove what would be asked again, and set worked examples aside.

    Parameters
    ----------
    questions
        Of all parts.
    shots
        How many questions of train, the first ones that remain, become part "dev".

    Returns
    -------
    list of Question
        What remains, in the order given.
    dict
        For the card: by part, how many questions were `removed` because another part asks them
        (`asked_elsewhere`) or because the part has them already (`repeated`); and how many that
        were `kept` are repeated in test, or asked in test and dev.
    """
    own = {part: [q for q in questions if q.part == part] for part in _PARTS}
    in_test = {(q.subject, stem(q)) for q in own["test"]}
    kept = {
        "test": own["test"],
        "dev": [q for q in own["dev"] if (q.subject, stem(q)) not in in_test],
    }
    asked = {stem(q) for part in kept.values() for q in part}
    removed = {"dev": {"asked_elsewhere": len(own["dev"]) - len(kept["dev"])}}
    for part in ("val", "train"):
        new = [q for q in own[part] if stem(q) not in asked]
        kept[part] = _first(new)
        removed[part] = {
            "asked_elsewhere": len(own[part]) - len(new),
            "repeated": len(new) - len(kept[part]),
        }
        asked.update(map(stem, kept[part]))
    stems = {q_stem for _, q_stem in in_test}
    remained = {
        "test": {"repeated": len(kept["test"]) - len(_first(kept["test"]))},
        "dev": {"asked_in_test": sum(stem(q) in stems for q in kept["dev"])},
    }
    kept["train"] = [
        replace(question, part="dev") if place < shots else question
        for place, question in enumerate(kept["train"])
    ]
    remaining = {q.sample_id: q for own in kept.values() for q in own}
    return [remaining[q.sample_id] for q in questions if q.sample_id in remaining], {
        "removed": removed,
        "kept": remained,
    }


def describe(questions: Sequence[Question]) -> dict:
    """Count questions for the card: by part, subject, level and number of options, and oddities.

    Returns
    -------
    dict
        `parts`, `subjects` and `levels` (by part), `choices` (questions by their number of
        options), and by part the questions with options that do not differ
        (`indistinct_choices`, those of test also by id) or that are blank (`blank_choices`).
    """
    indistinct = [q for q in questions if len(set(q.choices)) < len(q.choices)]
    blank = [q for q in questions if not all(choice.strip() for choice in q.choices)]
    return {
        "parts": _counted(q.part for q in questions),
        "subjects": _by_part(questions, "subject"),
        "levels": _by_part(questions, "level"),
        "choices": _counted(str(len(q.choices)) for q in questions),
        "indistinct_choices": _counted(q.part for q in indistinct),
        "indistinct_choices_in_test": sorted(q.sample_id for q in indistinct if q.part == "test"),
        "blank_choices": _counted(q.part for q in blank),
    }


def stem(question: Question) -> str:
    """Give what is asked, without capitals and with single spaces."""
    return _plain(question.question)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _first(questions: Iterable[Question]) -> list[Question]:
    """Keep the first of those that have the same stem and the same options, in any order."""
    found = {}
    for question in questions:
        found.setdefault((stem(question), frozenset(map(_plain, question.choices))), question)
    return list(found.values())


def _by_part(questions: Sequence[Question], name: str) -> dict[str, dict[str, int]]:
    parts = sorted({question.part for question in questions})
    return {
        part: counts
        for part in parts
        if (counts := _counted(getattr(q, name) for q in questions if q.part == part)).keys()
        != {""}
    }


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))

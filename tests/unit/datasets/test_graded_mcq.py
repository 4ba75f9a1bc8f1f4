"""What the generated questions promise."""

import hashlib
import json
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from sidekick.datasets import graded_mcq
from sidekick.datasets.dice import Dice
from sidekick.datasets.graded_mcq import LEVELS, SIZES, part_of
from sidekick.datasets.graded_subjects import CATEGORIES, RANKS, SUBJECTS
from sidekick.datasets.questions import QUESTION_SCHEMA

CELLS = [(subject, level) for subject in SUBJECTS for level in LEVELS]
#: A draft, whatever the dice.
DRAFTS = st.builds(
    lambda key, level, right: (level, right, Dice(key)),
    st.text(max_size=12),
    st.integers(0, 2),
    st.integers(0, 3),
)


@pytest.fixture(scope="module")
def questions():
    return graded_mcq.read()


def numbers(text):
    return [int(word) for word in text.split() if word.isdigit()]


def words_of(text, after):
    return re.search(rf"{after} (.*) \?$", text)[1].split()


def solved(subject, stem, options):
    """Give the options that answer a question, found from its text alone."""
    given = numbers(stem)
    right = {
        "addition": lambda: [str(sum(given))],
        "subtraction": lambda: [str(given[0] - given[1])],
        "sums": lambda: [str(sum(given))],
        "between": lambda: [o for o in options if given[0] < int(o) < given[1]],
        "ordering": lambda: [str(sorted(given)[RANKS.index(re.search(r"the (.*) of", stem)[1])])],
        "sequence": lambda: (
            [str(2 * given[2] - given[1])] if given[2] - given[1] == given[1] - given[0] else []
        ),
        "lookup": lambda: stated(stem),
        "counting": lambda: most_of(words_of(stem, "often in")),
        "category": lambda: sharing_kind(words_of(stem, "most of"), options),
        "repeat": lambda: [w for w, n in Counter(words_of(stem, "twice in")).items() if n == 2],
    }
    return right[subject]()


def stated(stem):
    facts, asked = re.search(r"^(.*) [.] how many has (\w+) [?]$", stem).groups()
    return [fact.split()[2] for fact in facts.split(" and ") if fact.split()[0] == asked]


def most_of(words):
    counts = Counter(words)
    return [word for word in counts if counts[word] == max(counts.values())]


def sharing_kind(words, options):
    kind = {word: kind for kind, own in CATEGORIES.items() for word in own}
    (most,) = most_of([kind[word] for word in words])
    return [option for option in options if kind[option] == most]


@pytest.mark.parametrize("subject", SUBJECTS)
@given(draft=DRAFTS)
def test_exactly_one_option_is_right(subject, draft):
    level, right, dice = draft
    made = SUBJECTS[subject](dice, level, right)
    assert len(set(made.options)) == 4
    assert [o for o in made.options if o in solved(subject, made.stem, made.options)] == [
        made.options[right]
    ]


@pytest.mark.parametrize("subject", SUBJECTS)
@given(draft=DRAFTS)
def test_numbers_are_within_range(subject, draft):
    level, right, dice = draft
    made = SUBJECTS[subject](dice, level, right)
    shown = numbers(" ".join([made.stem, *made.options]))
    assert all(0 <= number <= 99 for number in shown)
    assert re.fullmatch(r"[a-z0-9 .]+ \?", made.stem)


def test_questions_are_the_same_for_good(questions):
    content = json.dumps([[getattr(q, name) for name in QUESTION_SCHEMA.names] for q in questions])
    assert hashlib.sha256(content.encode()).hexdigest() == (
        "66ff3348c8186b141bb0de1bf4fb99ca4f31c5972749795bd3e6408a63e5ac57"
    )


def test_every_subject_and_level_has_its_questions(questions):
    counts = Counter((q.part, q.subject, q.level) for q in questions)
    assert counts == {(part, *cell): size for part, size in SIZES.items() for cell in CELLS}
    totals = Counter(q.part for q in questions)
    assert (totals["train"], totals["val"], totals["test"]) == (20_400, 1_500, 2_100)


def test_ids_and_questions_are_unique(questions):
    assert len({q.sample_id for q in questions}) == len(questions)
    assert len({(q.question, frozenset(q.choices)) for q in questions}) == len(questions)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", q.sample_id) for q in questions)
    assert all(q.answer == q.choices[q.label] for q in questions)


def test_no_stem_is_in_two_parts(questions):
    part_of_stem = {}
    for question in questions:
        assert part_of_stem.setdefault(question.question, question.part) == question.part


def asked(question):
    """Give what is asked, in which the order of operands, or of a list, does not count."""
    if question.subject in ("subtraction", "sequence", "between"):
        return question.question
    return " ".join(sorted(question.question.split()))


def test_no_rearranged_stem_is_in_two_parts(questions):
    found = {}
    for question in questions:
        # Who is asked for is no part of what a lookup states.
        text = re.sub(r" \. .*", "", question.question)
        key = question.subject, asked(question) if text == question.question else text
        assert found.setdefault(key, question.part) == question.part


def test_right_answers_are_evenly_placed(questions):
    for part, size in SIZES.items():
        for cell in CELLS:
            own = [q for q in questions if q.part == part and (q.subject, q.level) == cell]
            counts = np.bincount([q.label for q in own], minlength=4)
            assert counts.max() - counts.min() <= 1
            assert counts.sum() == size


def test_the_vocabulary_is_small_and_options_are_single_words(questions):
    words = {word for q in questions for word in " ".join([q.question, *q.choices]).split()}
    assert len(words) <= 300
    assert all(" " not in choice for q in questions for choice in q.choices)
    # Nothing is tested that training does not show.
    trained = [q for q in questions if q.part == "train"]
    assert words == {w for q in trained for w in [*q.question.split(), *q.choices]}


def features(question):
    """Give all that the options say about each: value, rank, neighbours, place and the others."""
    codes = [
        int(choice) if choice.isdigit() else 100 + int.from_bytes(choice.encode(), "big") % 997
        for choice in question.choices
    ]
    ordered = sorted(codes)
    rows = []
    for place, code in enumerate(codes):
        rank = ordered.index(code)
        below = code - ordered[rank - 1] if rank else -1
        above = ordered[rank + 1] - code if rank < 3 else -1
        rows.append([code, rank, below, above, place, *ordered])
    return rows


def test_who_sees_only_the_options_is_at_chance(questions):
    trained = [q for q in questions if q.part == "train"]
    tested = [q for q in questions if q.part == "test"]
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    is_right = [place == q.label for q in trained for place in range(4)]
    model.fit(np.concatenate([features(q) for q in trained]), is_right)
    scores = model.predict_proba(np.concatenate([features(q) for q in tested]))[:, 1]
    guesses = scores.reshape(-1, 4).argmax(axis=1)
    hits = guesses == [q.label for q in tested]
    # 0.25 ± 4 standard errors of 2,100 questions, and of 210.
    assert abs(hits.mean() - 0.25) < 0.038
    for subject in SUBJECTS:
        own = hits[[q.subject == subject for q in tested]]
        assert own.mean() < 0.37, subject


def test_who_always_gives_the_same_kind_of_option_is_at_chance(questions):
    tested = [q for q in questions if q.part == "test" and q.choices[0].isdigit()]
    ranks = [sorted(map(int, q.choices)).index(int(q.answer)) for q in tested]
    shares = np.bincount(ranks) / len(ranks)
    assert np.all(np.abs(shares - 0.25) < 0.05)


def test_parts_are_shared_out_as_stated():
    counts = Counter(part_of("addition", str(number)) for number in range(10_000))
    for part, share in graded_mcq.SHARES.items():
        assert counts[part] == pytest.approx(100 * share, rel=0.15)

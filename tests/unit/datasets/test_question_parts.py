from hypothesis import given
from hypothesis import strategies as st

from sidekick.datasets.question_parts import describe, separate, stem
from unit.datasets.asked import question


def ids(questions, part=None):
    return [q.sample_id for q in questions if part in (None, q.part)]


def test_what_is_tested_or_shown_is_not_trained_or_tuned_on():
    kept, counts = separate(
        [
            question("a", "Tested?", "train"),
            question("b", "  tested? ", "val"),
            question("c", "TESTED?", "test"),
            question("d", "Shown?", "dev"),
            question("e", "Shown?", "train"),
            question("f", "Tuned?", "val"),
            question("g", "Tuned?", "train"),
            question("h", "New?", "train"),
        ],
        shots=0,
    )
    assert ids(kept) == ["c", "d", "f", "h"]
    assert counts["removed"] == {
        "dev": {"asked_elsewhere": 0},
        "val": {"asked_elsewhere": 1, "repeated": 0},
        "train": {"asked_elsewhere": 3, "repeated": 0},
    }


def test_repetitions_go_from_train_and_val_but_stay_in_test():
    asked = [
        question(f"{part}{number}", "Same?", part)
        for part in ("test", "train")
        for number in range(3)
    ]
    kept, counts = separate([q for q in asked if q.part == "test"], shots=0)
    assert ids(kept) == ["test0", "test1", "test2"]
    assert counts["kept"]["test"] == {"repeated": 2}
    kept, counts = separate([q for q in asked if q.part == "train"], shots=0)
    assert ids(kept) == ["train0"]
    assert counts["removed"]["train"] == {"asked_elsewhere": 0, "repeated": 2}


def test_the_same_words_about_other_options_are_another_question():
    one = question("a", "Which is true?", choices=("x", "y"))
    turned = question("b", "Which is true?", choices=("Y", "x"))
    other = question("c", "Which is true?", choices=("x", "z"))
    kept, _ = separate([one, turned, other], shots=0)
    assert ids(kept) == ["a", "c"]


def test_examples_of_another_subject_stay_though_they_are_tested():
    kept, counts = separate(
        [
            question("a", "Same?", "dev", subject="law"),
            question("b", "Same?", "dev", subject="art"),
            question("c", "Same?", "test", subject="art"),
        ],
        shots=0,
    )
    assert ids(kept) == ["a", "c"]
    assert counts["removed"]["dev"] == {"asked_elsewhere": 1}
    assert counts["kept"]["dev"] == {"asked_in_test": 1}


def test_shots_are_the_first_of_train_that_remain():
    asked = [question("a", "Tested?", "test"), question("b", "Tested?", "train")]
    asked += [question(name, part="train") for name in "zyx"]
    kept, _ = separate(asked, shots=2)
    assert ids(kept, "dev") == ["z", "y"]
    assert ids(kept, "train") == ["x"]


PARTS = st.sampled_from(["train", "val", "test", "dev"])


@given(st.lists(st.tuples(PARTS, st.sampled_from("abcdef")), max_size=30), st.integers(0, 3))
def test_nothing_that_is_tested_is_learnt_from(drawn, shots):
    asked = [question(str(number), text, part) for number, (part, text) in enumerate(drawn)]
    kept, counts = separate(asked, shots)
    by_part = {part: [q for q in kept if q.part == part] for part in ("train", "val", "test")}
    stems = {part: [stem(q) for q in own] for part, own in by_part.items()}
    assert stems["test"] == [stem(q) for q in asked if q.part == "test"]
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not set(stems[one]) & set(stems[other])
    assert all(len(set(stems[part])) == len(stems[part]) for part in ("train", "val"))
    removed = sum(sum(own.values()) for own in counts["removed"].values())
    assert len(kept) + removed == len(asked)
    assert [q.sample_id for q in kept] == sorted((q.sample_id for q in kept), key=int)


def test_oddities_are_counted():
    card = describe(
        [
            question("a", part="test", subject="law", choices=("x", "x", "y")),
            question("b", part="test", subject="art"),
            question("c", part="train", choices=("x", " ")),
        ]
    )
    assert card["parts"] == {"test": 2, "train": 1}
    assert card["subjects"] == {"test": {"art": 1, "law": 1}}
    assert card["levels"] == {}
    assert card["choices"] == {"2": 2, "3": 1}
    assert card["indistinct_choices"] == {"test": 1}
    assert card["indistinct_choices_in_test"] == ["a"]
    assert card["blank_choices"] == {"train": 1}

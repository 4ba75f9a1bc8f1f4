"""graded_mcq: generated multiple-choice questions of graded difficulty, to train small models on.

Several subjects at three levels each (`sidekick.datasets.graded_subjects`). Everything follows from
this code and BLAKE2b (`Dice`): two machines make the same questions, whatever their libraries.

Parts are disjoint by what is asked: a keyed hash of a question's key, in which the order of the
operands or of a list does not count, says which part the question may be in. No question with the
same options occurs twice.
"""

from collections.abc import Iterator

from sidekick.datasets.dice import Dice
from sidekick.datasets.graded_subjects import SUBJECTS, Draft
from sidekick.datasets.hashing import keyed_hash
from sidekick.datasets.questions import Question
from sidekick.errors import SidekickError

LEVELS = ("1", "2", "3")
#: Questions of a subject and level. `dev` has worked examples for prompts.
SIZES = {"train": 680, "val": 50, "test": 70, "dev": 1}
#: Of 100 keys, how many each part may have.
SHARES = {"test": 18, "val": 12, "dev": 4, "train": 66}
_LABELS = 4
#: Throws in a row that bring no new question, before the subject counts as exhausted.
_PATIENCE = 10_000


def read(files: object = None) -> list[Question]:
    """Make all questions, by part, subject and level; there are no files."""
    return [
        question
        for part in SIZES
        for subject in SUBJECTS
        for level in LEVELS
        for question in _questions(part, subject, level)
    ]


def part_of(subject: str, key: str) -> str:
    """Say in which part a question with this key may be."""
    place = int.from_bytes(keyed_hash(f"{subject} {key}", "graded_mcq part", 8), "little") % 100
    for part, share in SHARES.items():
        if place < share:
            return part
        place -= share
    raise AssertionError("the shares sum to 100")


def _questions(part: str, subject: str, level: str) -> Iterator[Question]:
    dice = Dice(f"graded_mcq {part} {subject} {level}")
    seen: set[tuple[str, frozenset[str]]] = set()
    for number in range(SIZES[part]):
        # Every place is right equally often.
        label = number % _LABELS
        draft = _new(dice, part, subject, level, label, seen)
        yield Question(
            sample_id=f"{part}_{subject}_{level}_{number:04d}",
            question=draft.stem,
            choices=tuple(draft.options),
            label=label,
            answer=draft.options[label],
            subject=subject,
            level=level,
            part=part,
        )


def _new(
    dice: Dice,
    part: str,
    subject: str,
    level: str,
    label: int,
    seen: set[tuple[str, frozenset[str]]],
) -> Draft:
    """Throw until there is a question of this part that was not there before."""
    for _ in range(_PATIENCE):
        draft = SUBJECTS[subject](dice, LEVELS.index(level), label)
        if part_of(subject, draft.key) != part:
            continue
        identity = draft.stem, frozenset(draft.options)
        if identity not in seen:
            seen.add(identity)
            return draft
    raise SidekickError(f"graded_mcq: {subject}, level {level}, has too few questions for {part}")

"""The subjects of `graded_mcq`: how each of its questions is made.

A subject first draws four options that are all of a kind, and is then told which of them is right:
it writes the question to fit. Which option is right is therefore no property of the options, and
who reads only these is at chance, whatever the options are.

Numbers run from 0 to 99, all words are lower-case, and tokens are separated by spaces, so that a
tokenizer of words has each option as one token.
"""

from collections.abc import Callable
from typing import NamedTuple

from sidekick.datasets.dice import Dice

#: What sets the difficulty, for the levels 1, 2 and 3. Gaps are the distances of neighbouring
#: options (least, greatest): the closer, the harder. No three gaps may exceed the numbers' range.
#: Terms are the largest that one of the two is: the larger, the farther from what is given.
ADDITION = {"term": (9, 20, 40), "gaps": ((14, 30), (10, 20), (8, 14))}
SUBTRACTION = {"term": (9, 20, 40), "gaps": ((14, 30), (10, 20), (8, 14))}
SUMS = {"gaps": ((14, 30), (8, 18), (3, 9))}
BETWEEN = {"gaps": ((12, 24), (6, 14), (3, 8))}
ORDERING = {"gaps": ((10, 24), (4, 14), (1, 8))}
SEQUENCE = {
    "steps": ((1, 5), (1, 9), (-9, 9)),
    "gaps": ((14, 26), (8, 18), (4, 12)),
}
LOOKUP = {"people": (1, 2, 3)}
COUNTING = {"times": ((3, 1, 1, 1), (3, 2, 2, 1), (4, 3, 3, 2))}
CATEGORY = {"members": (2, 3, 4), "others": (1, 2, 3)}
REPEAT = {"length": (5, 7, 9)}

LARGEST = 99
_OPTIONS = 4

NAMES = ("ann", "ben", "eva", "ida", "jon", "leo", "mia", "tom")
CATEGORIES = {
    "animal": ("cat", "cow", "dog", "hen", "horse", "pig", "sheep"),
    "fruit": ("apple", "cherry", "fig", "lemon", "pear", "plum", "quince"),
    "tool": ("axe", "drill", "file", "hammer", "pliers", "saw", "spade"),
    "colour": ("black", "blue", "brown", "green", "red", "white", "yellow"),
    "garment": ("belt", "coat", "glove", "hat", "scarf", "shirt", "sock"),
    "vehicle": ("bike", "boat", "bus", "car", "plane", "tram", "van"),
    "dish": ("bread", "cake", "pie", "rice", "salad", "soup", "stew"),
    "place": ("bank", "church", "farm", "hotel", "mill", "school", "shop"),
}
WORDS = tuple(word for words in CATEGORIES.values() for word in words)
RANKS = ("smallest", "second smallest", "second largest", "largest")


class Draft(NamedTuple):
    """A question without a place in any part.

    Attributes
    ----------
    key
        What is asked, however it is worded: questions with the same key are of the same part.
    stem
        The question's text.
    options
        Four different tokens.
    """

    key: str
    stem: str
    options: list[str]


Subject = Callable[[Dice, int, int], Draft]
"""Makes a question from dice, a level (0 to 2) and the place of the right option (0 to 3)."""


def addition(dice: Dice, level: int, right: int) -> Draft:
    """Add two numbers."""
    options = spread(dice, 4, LARGEST, ADDITION["gaps"][level])
    term = dice.between(1, min(ADDITION["term"][level], options[right] - 1))
    first, second = dice.shuffled((term, options[right] - term))
    return _draft(sorted((first, second)), f"what is {first} plus {second} ?", options)


def subtraction(dice: Dice, level: int, right: int) -> Draft:
    """Take one number from another."""
    options = spread(dice, 1, LARGEST - 5, SUBTRACTION["gaps"][level])
    second = dice.between(1, min(SUBTRACTION["term"][level], LARGEST - options[right]))
    first = options[right] + second
    return _draft((first, second), f"what is {first} minus {second} ?", options)


def sums(dice: Dice, level: int, right: int) -> Draft:
    """Add three numbers."""
    options = spread(dice, 6, LARGEST, SUMS["gaps"][level])
    cuts = sorted(dice.sample(range(1, options[right]), 2))
    terms = cuts[0], cuts[1] - cuts[0], options[right] - cuts[1]
    stem = f"what is {terms[0]} plus {terms[1]} plus {terms[2]} ?"
    return _draft(sorted(terms), stem, options)


def between(dice: Dice, level: int, right: int) -> Draft:
    """Find the number within two bounds."""
    options = spread(dice, 1, LARGEST - 1, BETWEEN["gaps"][level])
    below = max([value for value in options if value < options[right]], default=-1)
    above = min([value for value in options if value > options[right]], default=LARGEST + 1)
    low = dice.between(below + 1, options[right] - 1)
    high = dice.between(options[right] + 1, above - 1)
    return _draft((low, high), f"which number is between {low} and {high} ?", options)


def ordering(dice: Dice, level: int, right: int) -> Draft:
    """Find the number of a given rank among four."""
    options = spread(dice, 0, LARGEST, ORDERING["gaps"][level])
    rank = RANKS[sorted(options).index(options[right])]
    listed = " ".join(map(str, dice.shuffled(options)))
    return _draft((rank, *sorted(options)), f"which is the {rank} of {listed} ?", options)


def sequence(dice: Dice, level: int, right: int) -> Draft:
    """Continue an arithmetic sequence of three numbers."""
    slowest, fastest = SEQUENCE["steps"][level]
    # No option is too near to the ends to be the fourth number.
    room = 3 * max(fastest, 0), LARGEST + 3 * min(slowest, 0)
    options = spread(dice, *room, SEQUENCE["gaps"][level])
    step = dice.pick([step for step in range(slowest, fastest + 1) if step != 0])
    terms = [options[right] - step * back for back in (3, 2, 1)]
    return _draft(terms, f"what comes next in {' '.join(map(str, terms))} ?", options)


def lookup(dice: Dice, level: int, right: int) -> Draft:
    """Recall a number that was stated a moment ago."""
    options = spread(dice, 0, LARGEST, (1, 24))
    people = LOOKUP["people"][level]
    names = dice.sample(NAMES, people)
    others = [value for place, value in enumerate(options) if place != right]
    values = dice.shuffled([options[right], *dice.sample(others, people - 1)])
    facts = " and ".join(f"{n} has {v}" for n, v in zip(names, values, strict=True))
    asked = names[values.index(options[right])]
    stem = f"{facts} . how many has {asked} ?"
    return _draft(sorted(zip(names, values, strict=True)), stem, options)


def counting(dice: Dice, level: int, right: int) -> Draft:
    """Find the word that occurs most often in a list."""
    options = dice.sample(WORDS, _OPTIONS)
    most, *fewer = COUNTING["times"][level]
    times = dice.shuffled(fewer)
    times.insert(right, most)
    listed = [word for word, count in zip(options, times, strict=True) for _ in range(count)]
    listed = dice.shuffled(listed)
    return _draft(sorted(listed), f"which is most often in {' '.join(listed)} ?", options)


def category(dice: Dice, level: int, right: int) -> Draft:
    """Find the word of the kind that most words of a list are of."""
    kinds = dice.sample(list(CATEGORIES), _OPTIONS)
    options = [dice.pick(CATEGORIES[kind]) for kind in kinds]

    def cues(place: int, count: int) -> list[str]:
        return dice.sample([w for w in CATEGORIES[kinds[place]] if w != options[place]], count)

    other = (right + dice.between(1, _OPTIONS - 1)) % _OPTIONS
    listed = cues(right, CATEGORY["members"][level]) + cues(other, CATEGORY["others"][level])
    listed = dice.shuffled(listed)
    return _draft(sorted(listed), f"which goes with most of {' '.join(listed)} ?", options)


def repeat(dice: Dice, level: int, right: int) -> Draft:
    """Find the word that a list has twice."""
    words = dice.sample(WORDS, REPEAT["length"][level] - 1)
    options = words[:_OPTIONS]
    listed = dice.shuffled([*words, options[right]])
    return _draft(sorted(listed), f"which is twice in {' '.join(listed)} ?", options)


SUBJECTS: dict[str, Subject] = {
    subject.__name__: subject
    for subject in (
        addition, subtraction, sums, between, ordering, sequence,
        lookup, counting, category, repeat,
    )
}  # fmt: skip


def spread(dice: Dice, low: int, high: int, gaps: tuple[int, int]) -> list[int]:
    """Draw four numbers from `low` to `high` with random gaps, in random order."""
    steps = [dice.between(*gaps) for _ in range(_OPTIONS - 1)]
    first = dice.between(low, high - sum(steps))
    values = [first]
    for step in steps:
        values.append(values[-1] + step)
    return dice.shuffled(values)


def _draft(key: object, stem: str, options: list) -> Draft:
    return Draft(str(key), stem, [str(option) for option in options])

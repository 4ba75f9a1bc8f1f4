import subprocess
import sys

import pytest

from sidekick.datasets.questions import Question
from sidekick.errors import SidekickError
from sidekick.prompts import (
    HEDGES,
    PROTOCOLS,
    choose_shots,
    load_prompt,
    prompt_names,
    render,
)
from sidekick.prompts import files as prompt_files

NAMES = ["arc_letter", "arc_option_text", "graded_mcq", "gsm8k", "mmlu_letter", "mmlu_option_text"]


def question(sample_id="a", choices=("red", "blue", "None"), label=2, subject="", text="What {x}?"):
    answer = choices[label] if choices else "6*7\n#### 42"
    return Question(sample_id, text, choices, label, answer, subject, "", "test")


def ask(prompt, item, *others, **options):
    return render(load_prompt(prompt), item, *others, **options)


def test_names():
    assert prompt_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_complete(name):
    prompt = load_prompt(name)
    assert prompt.name == name
    assert prompt.version >= 1
    assert prompt.protocol in PROTOCOLS
    assert prompt.description


def test_arc_letter():
    found = ask("arc_letter", question())
    assert found.context == "Question: What {x}?\nA. red\nB. blue\nC. None\nAnswer:"
    assert found.continuations == (" A", " B", " C")
    assert found.target == " C"


def test_graded_mcq():
    found = ask("graded_mcq", question(text="sky ?"), [question("b", label=0, text="blood ?")])
    assert found.context == (
        "question : blood ? options : A red B blue C None answer : red "
        "question : sky ? options : A red B blue C None answer :"
    )
    assert found.continuations == (" red", " blue", " None")
    assert found.target == " None"


def test_gsm8k():
    open_question = question(choices=(), label=0)
    found = ask("gsm8k", open_question, [open_question])
    assert found.context == (
        "Question: What {x}?\nAnswer: 6*7\n#### 42\n\nQuestion: What {x}?\nAnswer:"
    )
    assert found.continuations == ()
    assert found.target == " 6*7\n#### 42"


@pytest.mark.parametrize("hedge", HEDGES)
@pytest.mark.parametrize("name", NAMES)
def test_a_hedge_closes_the_instruction(name, hedge):
    item = question(choices=(), label=0) if name == "gsm8k" else question(subject="us_law")
    prompt = load_prompt(name)
    plain, hedged = render(prompt, item, [item]), render(prompt, item, [item], hedge)
    instruction = prompt.instruction.format(subject="us law")
    opening = f"{instruction} {HEDGES[hedge]}".strip()
    assert hedged.context.startswith(opening + prompt.separator)
    rest = hedged.context.removeprefix(opening + prompt.separator)
    assert plain.context.removeprefix(instruction + prompt.separator) == rest
    assert hedged.continuations == plain.continuations


def test_the_papers_sentences():
    assert HEDGES == {
        "low_confidence": "Respond with low confidence if you are uncertain.",
        "n": "Respond with 'N' if you are uncertain.",
    }


@pytest.mark.parametrize("count", [3, 5, 10])
def test_any_number_of_options(count):
    choices = tuple(f"o{i}" for i in range(count))
    found = ask("mmlu_letter", question(choices=choices, subject="law"))
    assert found.continuations == tuple(f" {letter}" for letter in "ABCDEFGHIJ"[:count])
    assert f"\n{'ABCDEFGHIJ'[count - 1]}. o{count - 1}\nAnswer:" in found.context


@pytest.mark.parametrize("choices", [(), tuple("abcdefghijk")])
def test_too_few_or_too_many_options(choices):
    with pytest.raises(SidekickError, match=r"sample a: \d+ options.*mmlu_letter"):
        ask("mmlu_letter", question(choices=choices, label=0))


def test_unknown_names():
    with pytest.raises(SidekickError, match=r"prompt: '\.\./x' is not known; allowed are arc_le"):
        load_prompt("../x")
    with pytest.raises(SidekickError, match="hedge: 'maybe' is not known; allowed are low_conf"):
        ask("arc_letter", question(), hedge="maybe")


def test_shots_are_of_the_items_subject():
    shots = [question(name, subject=name[0]) for name in ("a1", "b1", "a2", "a3")]
    chosen = choose_shots(shots, question(subject="a"), 2)
    assert [shot.sample_id for shot in chosen] == ["a1", "a2"]
    chosen = choose_shots(shots, question(subject=""), 3)
    assert [shot.sample_id for shot in chosen] == ["a1", "b1", "a2"]
    with pytest.raises(SidekickError, match=r"shots: 2 asked for, but .* 1 worked .* about 'b'"):
        choose_shots(shots, question(subject="b"), 2)


def test_the_text_of_a_vocabulary_holds_every_option():
    found = ask("arc_option_text", question())
    assert found.vocabulary_text == "Question: What {x}?\nAnswer: red blue None"
    found = ask("gsm8k", question(choices=(), label=0))
    assert found.vocabulary_text == "Question: What {x}?\nAnswer: 6*7\n#### 42"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("protocol: letter\nitem: x\ndescription: d", "version"),
        ("version: 1\nprotocol: lettre\nitem: x\ndescription: d", "'lettre' is not known"),
        ("version: 1\nprotocol: letter\nitem: '{answer}'\ndescription: d", "'answer'"),
        ("version: 1\nprotocol: generate\nitem: x\ndescription: d", "belongs to"),
        ("version: 1\nprotocol: letter\nitem: x\ndescription: d\nshots: 3", "shots"),
    ],
)
def test_a_file_that_breaks_the_form(tmp_path, monkeypatch, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    monkeypatch.setattr(prompt_files, "_FOLDER", tmp_path)
    with pytest.raises(SidekickError, match=f"mine.yaml: .*{message}"):
        load_prompt("mine")


def test_no_torch():
    code = "import sidekick.prompts, sys; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})

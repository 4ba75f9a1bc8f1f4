"""Prepare a text dataset: its questions and card once, and the splits of each seed.

All questions are in memory at once: a few hundred MB for the largest, MMLU's with its auxiliary
training set.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from sidekick.artifacts import read_table, write_json, write_table
from sidekick.datasets.provenance import Origin, verify_files
from sidekick.datasets.question_files import LETTERS, find_files
from sidekick.datasets.question_parts import describe, separate
from sidekick.datasets.question_splits import make_question_splits
from sidekick.datasets.questions import QUESTION_SCHEMA, Question, question_table
from sidekick.datasets.sources import TextDataset
from sidekick.errors import SidekickError

_logger = logging.getLogger("sidekick.datasets.prepare")

_SHIFT_SCHEMA = QUESTION_SCHEMA.append(pa.field("corruption", pa.string())).append(
    pa.field("severity", pa.int8())
)
_REPETITIVE = ("label", "subject", "level", "part")
#: Of what the registry knows: how a dataset is read, and what the card says in other words.
_NOT_IN_CARD = ("class_count", "files", "folder", "parts", "reader", "shots")


def prepare_questions(
    dataset: TextDataset,
    *,
    facts: Mapping[str, object],
    sizes: Mapping[str, int],
    shift: Mapping[str, object] | None,
    main_metric: str | None,
    archives: Mapping[str, Sequence[Path]],
    checksum: str | Mapping[str, str] | None,
    threads: int,
    samples_path: str | Path,
    shift_path: str | Path,
    card_path: str | Path,
) -> None:
    """Write the files of a text dataset that all seeds share.

    Arguments and errors are those of `sidekick.datasets.prepare.prepare_dataset`; reading takes
    one thread however many there are. The shift table has no rows.
    """
    source = f"dataset {dataset.name}"
    if shift is not None:
        raise SidekickError(f"{source}: it has no shift set; leave `shift` out of its entry")
    files, origin = _open(dataset, archives.get("dataset", []), checksum)
    parts = {part: files[name] for part, name in dataset.parts.items() if name in files}
    questions = dataset.load_reader()(parts)
    _require_unique(questions, source)
    questions, duplicates = separate(questions, dataset.shots)
    classes = _classes(dataset, questions)
    if origin.registered and len(classes) != dataset.class_count:
        raise SidekickError(f"{source}: {len(classes)} classes; expected {dataset.class_count}")
    card = {
        **{key: value for key, value in asdict(dataset).items() if key not in _NOT_IN_CARD},
        **describe(questions),
        "classes": classes,
        "duplicates": duplicates,
        "files": origin.files,
        "has_shift": False,
        "main_metric": main_metric or dataset.main_metric,
        "missing_files": _missing(dataset, parts),
        "revision": origin.revision,
        "sizes": dict(sizes),
        "val_from": "val" if "val" in dataset.parts or not dataset.parts else "train",
    }
    table = question_table(questions)
    # Drawing one seed's splits also checks sizes.
    _draw(card, table, sizes, 0, source)
    facts = {**facts, "revision": origin.revision, "classes": len(classes)}
    write_table(table, samples_path, facts, dictionary=_REPETITIVE)
    nothing = _SHIFT_SCHEMA.empty_table()
    write_table(nothing, shift_path, {**facts, "split": "shift"})
    write_json(card, card_path)
    _logger.info("%s: %d questions", source, len(questions))


def draw_question_splits(
    card: Mapping[str, object], path: Path, sizes: Mapping[str, int], seed: int
) -> pa.Table:
    """Draw one seed's splits of a prepared text dataset: see `make_question_splits`."""
    return _draw(card, read_table(path, QUESTION_SCHEMA.names), sizes, seed, str(path))


def _draw(
    card: Mapping[str, object], table: pa.Table, sizes: Mapping[str, int], seed: int, source: str
) -> pa.Table:
    return make_question_splits(
        table,
        sizes=sizes,
        seed=seed,
        val_from=card["val_from"],
        source=source,
        missing=card["missing_files"],
    )


def _open(
    dataset: TextDataset, paths: Sequence[Path], checksum: str | Mapping[str, str] | None
) -> tuple[dict[str, Path], Origin]:
    """Find a dataset's files, and verify them as far as can be."""
    if not dataset.files:
        return {}, Origin(dataset.revision, [], registered=True)
    if isinstance(checksum, str):
        raise SidekickError(
            f"{dataset.name}: checksum {checksum!r} cannot be that of several files; give one for "
            "each file's name that needs it"
        )
    files = find_files(dataset, paths)
    for name in checksum or {}:
        dataset.file(name)
    local = len(paths) == 1 and paths[0].is_dir()
    return files, verify_files(dataset, files, checksum or {}, local=local)


def _require_unique(questions: Sequence[Question], source: str) -> None:
    seen: set[str] = set()
    for question in questions:
        if question.sample_id in seen:
            raise SidekickError(f"{source}: two questions have the id {question.sample_id}")
        seen.add(question.sample_id)


def _classes(dataset: TextDataset, questions: Sequence[Question]) -> list[str]:
    if dataset.task == "generation":
        return ["answer"]
    return list(LETTERS[: max((len(question.choices) for question in questions), default=0)])


def _missing(dataset: TextDataset, parts: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Say for each part whose file is missing what it is called, and where it is published."""
    names = {part: name for part, name in dataset.parts.items() if part not in parts}
    return {part: {"name": name, "url": dataset.file(name).url} for part, name in names.items()}

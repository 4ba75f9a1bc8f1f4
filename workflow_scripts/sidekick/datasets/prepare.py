"""Prepare a dataset: its samples, shift set and card once, and the splits of each seed.

How this is done is a matter of the dataset's modality: see `sidekick.datasets.prepare_images` and
`sidekick.datasets.prepare_questions`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sidekick.artifacts import write_table
from sidekick.datasets.names import SAMPLES_FILE
from sidekick.datasets.prepare_images import draw_image_splits, prepare_images
from sidekick.datasets.prepare_questions import draw_question_splits, prepare_questions
from sidekick.datasets.reading import read_card
from sidekick.datasets.registry import get_dataset

_PREPARE = {"image": prepare_images, "text": prepare_questions}
_DRAW = {"image": draw_image_splits, "text": draw_question_splits}


def prepare_dataset(
    *,
    name: str,
    facts: Mapping[str, object],
    sizes: Mapping[str, int],
    shift: Mapping[str, object] | None,
    main_metric: str | None = None,
    archives: Mapping[str, str | Path | Sequence[str | Path]] | None = None,
    checksum: str | Mapping[str, str] | None = None,
    threads: int = 1,
    samples_path: str | Path,
    shift_path: str | Path,
    card_path: str | Path,
) -> None:
    """Write the files of a dataset that all seeds share.

    Two runs with the same arguments write the same bytes, whatever the number of threads.

    Parameters
    ----------
    name
        A name in the registry.
    facts
        Key-value metadata of the tables: the benchmark, and the dataset's id in it. Revision and
        class count are added.
    sizes
        Number of samples of "train", "val" and "test".
    shift
        The block of a config, or None for a benchmark without shift, as every text dataset is:
        `samples` (how many test images), `corruptions` (their names) and `severities` (1 to 5);
        optionally `source`, the name of published corruptions (else they are generated),
        `checksum`, if their archive is another version than the registered one, and `size`, the
        side of the square to which images of varying size are brought before they are corrupted.
    main_metric
        The metric by which validation picks among alternatives; by default the registry's.
    archives
        "dataset": the archive, or a folder that holds what is in it; of a text dataset, all its
        files, or a folder that holds some; none for digits and graded_mcq. "shift": the same of
        published corruptions. "frost": the overlays (files, or a folder that holds them), if the
        corruption `frost` is to be generated.
    checksum
        Of the dataset's archive, where it is another version than the registered one; of several
        files, by name.
    threads
        How many threads decode, and processes corrupt.
    samples_path
        Of images: `sample_id` string, `image` binary (row-major RGB bytes, or the bytes of an
        image file: see the card's `image_format`), `label` int32, `part` string ("train" or "test"
        where the source has an official test set, else "all"); in the order of the archive. Of
        questions: the attributes of `sidekick.datasets.questions.Question`.
    shift_path
        `sample_id`, `image` (row-major RGB bytes), `label`, `corruption` string, `severity` int8;
        the images of a sample side by side. The corrupted images are a stratified part of the
        test set, the same for all seeds. Without shift the table has no rows.
    card_path
        JSON: what the registry knows, `classes`, sizes, the `files` the dataset was made from; and
        image shapes and shift, or what was counted of the questions.

    Raises
    ------
    SidekickError
        If the dataset is unknown; if an archive is missing, damaged, tampered with, or not the
        one that was expected; if `sizes` or `shift` ask for what is not there; if the disk is
        full. Nothing is written then.
    """
    dataset = get_dataset(name)
    _PREPARE[dataset.modality](
        dataset,
        facts=facts,
        sizes=sizes,
        shift=shift,
        main_metric=main_metric,
        archives={key: _as_list(value) for key, value in (archives or {}).items()},
        checksum=checksum,
        threads=threads,
        samples_path=samples_path,
        shift_path=shift_path,
        card_path=card_path,
    )


def draw_splits(
    *,
    dataset_folder: str | Path,
    sizes: Mapping[str, int],
    seed: int,
    facts: Mapping[str, object],
    splits_path: str | Path,
) -> None:
    """Write one seed's splits of a prepared dataset.

    A file of its own per seed, so that adding a seed leaves the others' files as they are.

    Parameters
    ----------
    dataset_folder
        Where `prepare_dataset` wrote.
    sizes
        Number of samples of "train", "val" and "test".
    seed
        The seed to draw for.
    facts
        Key-value metadata.
    splits_path
        `seed` int64, `sample_id` string, `split` string: see `make_splits` and
        `make_question_splits`.

    Raises
    ------
    SidekickError
        If a file is missing or damaged, or `sizes` ask for what is not there.
    """
    card = read_card(dataset_folder)
    draw = _DRAW[card["modality"]]
    splits = draw(card, Path(dataset_folder) / SAMPLES_FILE, sizes, seed)
    write_table(splits, splits_path, {**facts, "classes": len(card["classes"])}, dictionary=True)


def _as_list(value: str | Path | Sequence[str | Path]) -> list[Path]:
    values = [value] if isinstance(value, (str, Path)) else value
    return [Path(path) for path in values]

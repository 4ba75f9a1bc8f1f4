"""What is known of the things that datasets are made from: files, datasets, shift sets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

from sidekick.errors import SidekickError


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be downloaded.

    Attributes
    ----------
    name
        Its name on disk, and below a mirror's prefix.
    url
        Where its publisher has it.
    checksum
        "md5:…" or "sha256:…", lower-case hexadecimal: what the publisher states, or what
        well-known software that reads the file has long verified. None if nobody we know of
        states one: whatever the URL, of a fixed revision, gives is then believed, and said to be.
    bytes
        Its exact size; None if unknown, which a file with another checksum's is.
    """

    name: str
    url: str
    checksum: str | None
    bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Source:
    """Something that is published as files.

    Attributes
    ----------
    name
        Our id, as a config writes it.
    title
        The name that a reader of the leaderboard sees.
    licence, citation, homepage
        What a user of the data has to respect, to cite and to visit.
    revision
        The version of the data as we prepare them; to be changed with every change of the
        prepared samples, so that artifacts of different data can be told apart.
    files
        The files it consists of; none if it comes with a package.
    """

    name: str
    title: str
    licence: str
    citation: str
    homepage: str
    revision: str
    files: tuple[RemoteFile, ...] = ()

    def file(self, name: str) -> RemoteFile:
        """Give the file of that name.

        Raises
        ------
        SidekickError
            If there is none; the message lists the files there are.
        """
        for file in self.files:
            if file.name == name:
                return file
        known = ", ".join(file.name for file in self.files) or "none"
        raise SidekickError(f"{self.name}: no file {name!r}; its files are: {known}")


@dataclass(frozen=True, kw_only=True)
class Dataset(Source):
    """What is known of a dataset before it is prepared.

    The names of the classes are in the data: a prepared dataset's card has them.

    Attributes
    ----------
    modality
        "image" or "text".
    class_count
        How many classes the registered files have; of questions, the most options that one has.
    main_metric
        The metric by which validation picks among alternatives, unless a config says otherwise.
    folder
        The folder that all members of the archive are in.
    reader
        "module:function". Of an image dataset: a function that takes the opened archive (None for
        a dataset without files) and returns the `Reading` of it. Of a text dataset: one that
        takes the path of the file of each part (none for a generated dataset) and returns the
        `Question`s.
    """

    modality: str
    class_count: int
    main_metric: str
    folder: str = ""
    reader: str

    def load_reader(self) -> Callable:
        """Import and give the function that `reader` names."""
        module, function = self.reader.split(":")
        return getattr(import_module(module), function)


@dataclass(frozen=True, kw_only=True)
class TextDataset(Dataset):
    """What is known of a text dataset before it is prepared.

    Attributes
    ----------
    task
        "multiple_choice", or "generation" if questions are open.
    parts
        For each official part ("train", "val", "test", "dev") the name of its file; none if the
        dataset is generated.
    shots
        How many questions of the train part, the first, are set aside as worked examples for
        prompts, where there is no part "dev".
    """

    modality: str = "text"
    task: str = "multiple_choice"
    parts: Mapping[str, str] = field(default_factory=dict)
    shots: int = 0


@dataclass(frozen=True, kw_only=True)
class ShiftSource(Source):
    """Published corruptions of a dataset's test images.

    Attributes
    ----------
    of
        The name of the dataset whose test images were corrupted.
    folder
        The folder that all members of the archive are in.
    """

    of: str
    folder: str

"""The datasets there are, and the files that they, and their shift sets, are made of.

Adding a dataset takes one module with a function that reads it (see `Dataset.reader`), and one
entry in `DATASETS` that names the function. The registry itself imports none of these modules: it
is read while a config is checked, where the packages that prepare data may not even be installed.

Three kinds of source have files to download:

* `DATASETS`: the benchmarks, those of text from `sidekick.datasets.published_text`. Digits come
  with scikit-learn and graded_mcq is generated: they need no file.
* `SHIFT_SOURCES`: published corrupted copies of a dataset's test images. A dataset that names none
  has its corrupted images generated.
* `OVERLAYS`: what the generated corruptions need. Only `frost` needs any.
"""

from collections.abc import Mapping
from dataclasses import replace

from sidekick.datasets.published_text import TEXT_DATASETS
from sidekick.datasets.sources import Dataset, RemoteFile, ShiftSource, Source
from sidekick.errors import SidekickError

_CIFAR_CITATION = (
    "A. Krizhevsky (2009). Learning Multiple Layers of Features from Tiny Images. Technical "
    "report, University of Toronto. https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf"
)
_CIFAR_LICENCE = "no formal licence; free to use with citation of the technical report"
_CIFAR_HOMEPAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_ROBUSTNESS_CITATION = (
    "D. Hendrycks and T. Dietterich (2019). Benchmarking Neural Network Robustness to Common "
    "Corruptions and Perturbations. ICLR. https://arxiv.org/abs/1903.12261"
)

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="digits",
            title="UCI Handwritten Digits",
            modality="image",
            class_count=10,
            licence="CC BY 4.0",
            citation=(
                "E. Alpaydin and C. Kaynak (1998). Optical Recognition of Handwritten Digits. "
                "UCI Machine Learning Repository. https://doi.org/10.24432/C50P49"
            ),
            homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
            revision="optdigits-test-1998-bicubic32",
            main_metric="accuracy",
            reader="sidekick.datasets.digits:read",
        ),
        Dataset(
            name="cifar10",
            title="CIFAR-10",
            modality="image",
            class_count=10,
            licence=_CIFAR_LICENCE,
            citation=_CIFAR_CITATION,
            homepage=_CIFAR_HOMEPAGE,
            revision="cifar-10-python-2009",
            main_metric="accuracy",
            folder="cifar-10-batches-py",
            reader="sidekick.datasets.cifar:read_cifar10",
            files=(
                RemoteFile(
                    "cifar-10-python.tar.gz",
                    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                    "md5:c58f30108f718f92721af3b95e74349a",
                    170_498_071,
                ),
            ),
        ),
        Dataset(
            name="cifar100",
            title="CIFAR-100",
            modality="image",
            class_count=100,
            licence=_CIFAR_LICENCE,
            citation=_CIFAR_CITATION,
            homepage=_CIFAR_HOMEPAGE,
            revision="cifar-100-python-2009",
            main_metric="accuracy",
            folder="cifar-100-python",
            reader="sidekick.datasets.cifar:read_cifar100",
            files=(
                RemoteFile(
                    "cifar-100-python.tar.gz",
                    "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                    "md5:eb9058c3a382ffc7106e4002c42a8d85",
                    169_001_437,
                ),
            ),
        ),
        Dataset(
            name="food101",
            title="Food-101",
            modality="image",
            class_count=101,
            licence="research use under fair use; the photographs are Foodspotting's",
            citation=(
                "L. Bossard, M. Guillaumin and L. Van Gool (2014). Food-101: Mining "
                "Discriminative Components with Random Forests. ECCV. "
                "https://doi.org/10.1007/978-3-319-10599-4_29"
            ),
            homepage="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
            revision="food-101-2014",
            main_metric="accuracy",
            folder="food-101",
            reader="sidekick.datasets.food101:read",
            files=(
                RemoteFile(
                    "food-101.tar.gz",
                    "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
                    "sha256:d97d15e438b7f4498f96086a4f7e2fa42a32f2712e87d3295441b2b6314053a4",
                    4_996_278_331,
                ),
            ),
        ),
        Dataset(
            name="tinyimagenet",
            title="Tiny ImageNet",
            modality="image",
            class_count=200,
            licence="ImageNet terms of access: non-commercial research and education only",
            citation=(
                "Y. Le and X. Yang (2015). Tiny ImageNet Visual Recognition Challenge. Stanford "
                "CS 231N. http://vision.stanford.edu/teaching/cs231n/reports/2015/pdfs/yle_project.pdf"
            ),
            homepage="https://www.image-net.org/",
            revision="tiny-imagenet-200-2015",
            main_metric="accuracy",
            folder="tiny-imagenet-200",
            reader="sidekick.datasets.tinyimagenet:read",
            files=(
                RemoteFile(
                    "tiny-imagenet-200.zip",
                    "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
                    "md5:90528d7ca1a48142e341f4ef8d21d0de",
                    248_100_043,
                ),
            ),
        ),
        *TEXT_DATASETS,
    )
}

SHIFT_SOURCES: dict[str, ShiftSource] = {
    source.name: source
    for source in (
        ShiftSource(
            name="cifar10_c",
            title="CIFAR-10-C",
            of="cifar10",
            licence="CC BY 4.0",
            citation=_ROBUSTNESS_CITATION,
            homepage="https://zenodo.org/records/2535967",
            revision="zenodo-2535967-v1",
            folder="CIFAR-10-C",
            files=(
                RemoteFile(
                    "CIFAR-10-C.tar",
                    "https://zenodo.org/records/2535967/files/CIFAR-10-C.tar",
                    "sha256:c72763e101c723b7c507b96205f7e938912a5d587376173b825850cf3cb876a7",
                    2_918_471_680,
                ),
            ),
        ),
        ShiftSource(
            name="cifar100_c",
            title="CIFAR-100-C",
            of="cifar100",
            licence="CC BY 4.0",
            citation=_ROBUSTNESS_CITATION,
            homepage="https://zenodo.org/records/3555552",
            revision="zenodo-3555552-v1",
            folder="CIFAR-100-C",
            files=(
                RemoteFile(
                    "CIFAR-100-C.tar",
                    "https://zenodo.org/records/3555552/files/CIFAR-100-C.tar",
                    "md5:11f0ed0f1191edbf9fa23466ae6021d3",
                    2_918_473_216,
                ),
            ),
        ),
    )
}

# The authors' sixth is never drawn: see `sidekick.datasets.names.FROST_FILES`.
_FROST = (
    ("frost1.png", "ff9f907860bd7a835d459e32f9d588062b7f61ee267343cc7222b56753a14755", 1_199_930),
    ("frost2.png", "fe211a89b336999c207a852ce05818d4545d0b57c5beadd824b4cc9d9a9b6137", 299_002),
    ("frost3.png", "2d0d50b4a9bb213f38b024ef7768731bb83cc08d2f26b5766bbc167cdfa0e504", 299_002),
    ("frost4.jpg", "3f8b91ca1a9fa7167b09e773da53f5ae60d0a1fd88f02a783f6e328a72887f6e", 36_734),
    ("frost5.jpg", "5fc6a19df4a429ba68abdcc8f8a4278d4c9f81c9ccafd2c92ab0c8cf8992ebd2", 155_150),
)
_FROST_PREFIX = "https://raw.githubusercontent.com/hendrycks/robustness/master/ImageNet-C/create_c/"

OVERLAYS: dict[str, Source] = {
    "frost": Source(
        name="frost",
        title="Frost overlays of the CIFAR-C generator",
        licence="Apache-2.0",
        citation=_ROBUSTNESS_CITATION,
        homepage="https://github.com/hendrycks/robustness",
        revision="robustness-2019",
        files=tuple(
            RemoteFile(name, _FROST_PREFIX + name, f"sha256:{digest}", size)
            for name, digest, size in _FROST
        ),
    )
}


def get_dataset(name: str) -> Dataset:
    """Give the dataset of that name.

    Raises
    ------
    SidekickError
        If there is none; the message lists the names there are.
    """
    return _look_up(DATASETS, name, "dataset")


def get_shift_source(name: str) -> ShiftSource:
    """Give the published corruptions of that name.

    Raises
    ------
    SidekickError
        If there are none; the message lists the names there are.
    """
    return _look_up(SHIFT_SOURCES, name, "shift source")


def get_source(name: str) -> Source:
    """Give whatever has files to download by its name: a dataset, corruptions or overlays.

    Raises
    ------
    SidekickError
        If there is none; the message lists the names there are.
    """
    return _look_up({**DATASETS, **SHIFT_SOURCES, **OVERLAYS}, name, "source")


def source_files(
    name: str, checksum: str | Mapping[str, str] | None = None
) -> dict[str, RemoteFile]:
    """Give the files of a source by their names.

    Parameters
    ----------
    name
        A dataset, published corruptions or overlays.
    checksum
        What the source's one file has instead of the registered checksum; or, by file name, what
        any of several files have. The sizes of these files are then unknown.

    Raises
    ------
    SidekickError
        If there is no such source, one `checksum` is given for several files, or a name is none
        of theirs.
    """
    source = get_source(name)
    files = {file.name: file for file in source.files}
    for own, given in _by_name(source, checksum).items():
        files[own] = replace(source.file(own), checksum=given, bytes=None)
    return files


def _by_name(source: Source, checksum: str | Mapping[str, str] | None) -> Mapping[str, str]:
    if not isinstance(checksum, str):
        return checksum or {}
    if len(source.files) != 1:
        names = ", ".join(file.name for file in source.files) or "none"
        raise SidekickError(
            f"{source.name}: checksum {checksum!r} cannot be that of {len(source.files)} files; "
            f"give one for each file's name that needs it (files: {names})"
        )
    return {source.files[0].name: checksum}


def _look_up(known: Mapping[str, Source], name: str, kind: str) -> Source:
    try:
        return known[name]
    except KeyError:
        raise SidekickError(
            f"{kind} {name!r}: no such {kind}; there are: {', '.join(sorted(known))}"
        ) from None

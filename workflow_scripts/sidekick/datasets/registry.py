"""The datasets there are.

Adding a dataset takes one module with a function that returns its `Samples`, and one entry in
`DATASETS` that names the function. The registry itself imports none of these modules: it is read
while a config is checked, where the packages that prepare data may not even be installed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from sidekick.errors import SidekickError


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What is known of a dataset before it is prepared.

    Attributes
    ----------
    name
        Our id, as a config writes it.
    title
        The name that a reader of the leaderboard sees.
    modality
        "image".
    classes
        The names of the classes; a label is a position in it.
    licence, citation, homepage
        What a user of the data has to respect, to cite and to visit.
    revision
        The version of the data as we prepare them; to be changed with every change of the
        prepared samples, so that artifacts of different data can be told apart.
    main_metric
        The metric by which validation picks among alternatives, unless a config says otherwise.
    prepare
        "module:function" of a function without arguments that returns the dataset's `Samples`.
    """

    name: str
    title: str
    modality: str
    classes: tuple[str, ...]
    licence: str
    citation: str
    homepage: str
    revision: str
    main_metric: str
    prepare: str

    def preparer(self) -> Callable:
        """Import and give the function that `prepare` names."""
        module, function = self.prepare.split(":")
        return getattr(import_module(module), function)


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="digits",
            title="UCI Handwritten Digits",
            modality="image",
            classes=tuple("0123456789"),
            licence="CC BY 4.0",
            citation=(
                "E. Alpaydin and C. Kaynak (1998). Optical Recognition of Handwritten Digits. "
                "UCI Machine Learning Repository. https://doi.org/10.24432/C50P49"
            ),
            homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
            revision="optdigits-test-1998-bicubic32",
            main_metric="accuracy",
            prepare="sidekick.datasets.digits:prepare_samples",
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
    try:
        return DATASETS[name]
    except KeyError:
        raise SidekickError(
            f"dataset {name!r}: no such dataset; there are: {', '.join(sorted(DATASETS))}"
        ) from None

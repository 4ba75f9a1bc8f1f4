"""The architecture names that `create_model` understands, known without importing timm.

A configuration is checked while Snakemake parses the workflow, where importing timm would cost
seconds and may be impossible. So the names lie beside this module, one per line, as the pinned
timm gives them. After a change of timm's version write them anew::

    python -m sidekick.models.names
"""

import difflib
from functools import cache
from pathlib import Path

NAMES_FILE = Path(__file__).with_name("timm_names.txt")

# timm fetches these from the Hugging Face hub or a folder, so no list can know them.
_SOURCES = ("hf-hub:", "local-dir:")


@cache
def known_architectures() -> frozenset[str]:
    """Give every registered architecture, with and without a tag of pretrained weights."""
    return frozenset(NAMES_FILE.read_text(encoding="utf-8").split())


def is_known(name: str) -> bool:
    """Say whether `name` is registered or names a source (`hf-hub:…`, `local-dir:…`)."""
    has_source = any(name.startswith(source) and name != source for source in _SOURCES)
    return has_source or name in known_architectures()


def similar(name: str, count: int = 3) -> list[str]:
    """Give the `count` known names most like `name`, best first."""
    names = sorted(known_architectures())
    return difflib.get_close_matches(name.lower(), names, n=count, cutoff=0.0)


def installed_architectures() -> list[str]:
    """Ask the installed timm for what the names file should hold."""
    import timm

    import sidekick.models.cifar_resnet
    import sidekick.models.small_cnn  # noqa: F401 (these register our own)

    return sorted({*timm.list_models(), *timm.list_pretrained()})


def write_names(path: Path = NAMES_FILE) -> None:
    """Write the names of the installed timm and our own."""
    path.write_text("\n".join(installed_architectures()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_names()
    print(f"Wrote {NAMES_FILE}")

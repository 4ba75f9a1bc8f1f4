"""Make sure which data an archive or folder holds, and say so."""

from dataclasses import dataclass
from pathlib import Path

from sidekick.datasets.archives import Archive, Folder
from sidekick.datasets.checksums import file_checksum, parse_checksum, same_checksum
from sidekick.datasets.registry import Source
from sidekick.errors import SidekickError

_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Origin:
    """Which data were read.

    Attributes
    ----------
    revision
        The registered one; for another archive "+" and the beginning of its checksum are
        appended, for a folder "+local-" and the beginning of a fingerprint of its contents.
    files
        Name, checksum and bytes of each file, as a card records them; a folder counts as one.
    registered
        Whether it is the registered archive.
    """

    revision: str
    files: list[dict]
    registered: bool


def verify_origin(source: Source, archive: Archive, checksum: str | None) -> Origin:
    """Verify an archive's checksum, or take the fingerprint of a folder, which has none.

    Parameters
    ----------
    source
        What the archive should hold.
    archive
        The archive or folder.
    checksum
        What the archive has instead of the registered checksum.

    Raises
    ------
    SidekickError
        If the archive has another checksum, or a folder is given one.
    """
    if isinstance(archive, Folder):
        if checksum is not None:
            raise SidekickError(
                f"{archive.path}: checksum {checksum!r} is given, but a folder has none; leave "
                "it out"
            )
        fingerprint, size = archive.fingerprint()
        files = [{"name": archive.path.name, "checksum": fingerprint, "bytes": size}]
        return Origin(f"{source.revision}+local-{_digits(fingerprint)}", files, registered=False)
    registered = source.files[0].checksum
    expected = checksum or registered
    verify_file(archive.path, expected)
    files = [
        {"name": archive.path.name, "checksum": expected, "bytes": archive.path.stat().st_size}
    ]
    if same_checksum(expected, registered):
        return Origin(source.revision, files, registered=True)
    return Origin(f"{source.revision}+{_digits(expected)}", files, registered=False)


def verify_file(path: Path, expected: str) -> None:
    """Refuse a file that has another checksum than expected.

    Raises
    ------
    SidekickError
        With both, and what to do if the file is meant.
    """
    found = file_checksum(path, parse_checksum(expected)[0])
    if not same_checksum(found, expected):
        raise SidekickError(
            f"{path}: its checksum is {found}; expected {expected}. It is damaged or another "
            f"version: get it anew, or, if this version is meant, give `checksum: {found!r}` in "
            "the config"
        )


def _digits(checksum: str) -> str:
    return parse_checksum(checksum)[1][:_SHOWN_DIGITS]

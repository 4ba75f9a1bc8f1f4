"""Make sure which data an archive, a folder or several files hold, and say so."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sidekick.datasets.archives import Archive, Folder
from sidekick.datasets.checksums import file_checksum, parse_checksum, same_checksum
from sidekick.datasets.sources import Source
from sidekick.errors import SidekickError

_SHOWN_DIGITS = 12
# Stands for the algorithm where no checksum is known.
_ANY = "sha256:" + "0" * 64


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


def verify_files(
    source: Source, paths: Mapping[str, Path], checksums: Mapping[str, str], *, local: bool
) -> Origin:
    """Verify the files of a source that is read file by file, as far as checksums are known.

    Parameters
    ----------
    source
        What the files should be.
    paths
        The files that are there, by the names of the source's.
    checksums
        What files have instead of the registered checksums, by name.
    local
        Whether they are a user's own files: these may differ from the registered ones, unless
        `checksums` has them.

    Returns
    -------
    Origin
        Every file's record says whether it was `verified`. The data count as registered if all
        files are there and none differs from its registered checksum; else "+" ("+local-") and
        the beginning of a fingerprint of all files are appended to the revision. Files without a
        registered checksum are part of the fingerprint.

    Raises
    ------
    SidekickError
        If a file has another checksum than it must have.
    """
    records, is_registered = [], len(paths) == len(source.files)
    for name, path in sorted(paths.items()):
        registered = source.file(name).checksum
        expected = checksums.get(name, None if local else registered)
        if expected is not None:
            verify_file(path, expected, named=True)
        found = file_checksum(path, parse_checksum(expected or registered or _ANY)[0])
        is_same = registered is not None and same_checksum(found, registered)
        is_registered &= is_same
        records.append(
            {
                "name": name,
                "checksum": found,
                "bytes": path.stat().st_size,
                "verified": is_same or expected is not None,
            }
        )
    if is_registered:
        return Origin(source.revision, records, registered=True)
    content = "\n".join(f"{record['name']} {record['checksum']}" for record in records)
    digits = hashlib.sha256(content.encode()).hexdigest()[:_SHOWN_DIGITS]
    mark = "local-" if local else ""
    return Origin(f"{source.revision}+{mark}{digits}", records, registered=False)


def verify_file(path: Path, expected: str, *, named: bool = False) -> None:
    """Refuse a file that has another checksum than expected.

    Parameters
    ----------
    path, expected
        The file and the checksum that it must have.
    named
        Whether a config gives checksums of such files by name, since there are several.

    Raises
    ------
    SidekickError
        With both, and what to do if the file is meant.
    """
    found = file_checksum(path, parse_checksum(expected)[0])
    if not same_checksum(found, expected):
        advice = f"checksum: {{{path.name!r}: {found!r}}}" if named else f"checksum: {found!r}"
        raise SidekickError(
            f"{path}: its checksum is {found}; expected {expected}. It is damaged or another "
            f"version: get it anew, or, if this version is meant, give `{advice}` in the config"
        )


def _digits(checksum: str) -> str:
    return parse_checksum(checksum)[1][:_SHOWN_DIGITS]

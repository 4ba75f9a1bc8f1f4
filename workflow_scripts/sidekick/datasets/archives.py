"""Read archives, or folders of what was in them, without extracting anything.

Every reader gives the contents of members as bytes; nothing is written to disk, so a hostile
archive cannot write outside its folder. It is refused all the same, by name, if a member's name is
absolute or climbs up (`..`), if it is a link or a device, if a name occurs twice, or if a member
is larger than what was expected (which would fill the memory). So are archives that are cut off or
whose checksums (gzip's, zip's) do not match.

Members are named as in the published archive, below its top folder: with the folder "food-101",
`food-101/images/pho/1.jpg` is `images/pho/1.jpg`. A local folder may be that top folder or hold
it. What lies outside the top folder, and hidden files (such as macOS's `._1.jpg`), are ignored.
"""

import hashlib
import os
import re
import stat
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from sidekick.datasets.checksums import file_checksum
from sidekick.errors import SidekickError

#: The largest member that is read unless a caller allows more: far beyond any image of a
#: benchmark, far below any memory.
MEMBER_LIMIT = 64 * 2**20

_ADVICE = "Delete it, so that it is downloaded again, or get it anew"


@dataclass(frozen=True)
class Span:
    """Where a member lies uncompressed in a file: from `offset`, `size` bytes."""

    path: Path
    offset: int
    size: int


class Archive(ABC):
    """The members of an archive or folder.

    Attributes
    ----------
    path
        The archive or folder, for messages.
    """

    def __init__(self, path: Path, folder: str):
        self.path = path
        self._folder = folder

    @abstractmethod
    def members(
        self, wanted: Callable[[str], bool], limit: int = MEMBER_LIMIT
    ) -> Iterator[tuple[str, bytes]]:
        """Give the wanted members in the archive's order, in one pass.

        Parameters
        ----------
        wanted
            Whether a member of that name is to be read; the others are checked, not read.
        limit
            The largest size in bytes that a wanted member may have.

        Yields
        ------
        tuple of str and bytes
            Name below the top folder, and contents.

        Raises
        ------
        SidekickError
            If the archive is damaged or unsafe; with archive and member.
        """

    def pick(self, names: Collection[str], limit: int = MEMBER_LIMIT) -> dict[str, bytes]:
        """Give the contents of a few members.

        Raises
        ------
        SidekickError
            If one is missing, or as `members`.
        """
        found = {}
        for name, contents in self.members(names.__contains__, limit):
            found[name] = contents
            if len(found) == len(names):
                break
        self.require(names, found)
        return found

    def require(self, names: Collection[str], found: Collection[str]) -> None:
        """Refuse the archive if one of `names` was not found in it."""
        if missing := [name for name in names if name not in found]:
            raise SidekickError(
                f"{self.path}: no member {self._full(missing[0])}"
                + (f" (nor {len(missing) - 1} others)" if len(missing) > 1 else "")
                + "; is it another archive?"
            )

    @abstractmethod
    def spans(self, wanted: Callable[[str], bool]) -> dict[str, Span]:
        """Say where wanted members lie, so that they can be mapped into memory.

        Raises
        ------
        SidekickError
            If the archive compresses its members, or as `members`.
        """

    def error(self, name: str, problem: str) -> SidekickError:
        """Make the error that names archive and member."""
        return SidekickError(f"{self.path}: member {self._full(name)}: {problem}")

    def _full(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _below(self, name: str) -> str | None:
        """Give a member's name below the top folder; None if it is to be ignored."""
        top, _, below = name.removeprefix("./").partition("/")
        if top != self._folder or not below or PurePosixPath(below).name.startswith("."):
            return None
        return below

    def _check_name(self, name: str) -> None:
        parts = re.split(r"[/\\]", name)
        if not name or parts[0] == "" or re.match(r"[A-Za-z]:", name) or "\0" in name:
            raise SidekickError(
                f"{self.path}: member {name!r} has an absolute path; the archive is refused as "
                "tampered with"
            )
        if ".." in parts:
            raise SidekickError(
                f"{self.path}: member {name!r} leaves the archive's folder; the archive is "
                "refused as tampered with"
            )

    def _check_size(self, name: str, size: int, limit: int) -> None:
        if size > limit:
            raise self.error(name, f"{size} bytes; at most {limit} are expected")

    def _no_repetition(self) -> Callable[[str], None]:
        seen = set()

        def check(name: str) -> None:
            if name in seen:
                raise self.error(name, "occurs twice")
            seen.add(name)

        return check


def open_archive(path: str | Path, folder: str) -> Archive:
    """Open a tar (plain or gzip), a zip or a folder; which it is, its contents tell.

    Parameters
    ----------
    path
        The file or folder.
    folder
        The top folder of the published archive.

    Raises
    ------
    SidekickError
        If there is nothing, or something else.
    """
    path = Path(path)
    if path.is_dir():
        return Folder(path, folder)
    try:
        with path.open("rb") as stream:
            start = stream.read(512)
    except OSError as error:
        raise SidekickError(f"{path}: cannot be read ({error.strerror})") from None
    if start.startswith(b"\x1f\x8b"):
        return Tar(path, folder, compressed=True)
    if start.startswith(b"PK"):
        return Zip(path, folder)
    if start[257:262] == b"ustar":
        return Tar(path, folder, compressed=False)
    raise SidekickError(
        f"{path}: neither a tar nor a zip archive ({path.stat().st_size} bytes). {_ADVICE}"
    )


class Tar(Archive):
    """A tar archive, plain or compressed by gzip, read from beginning to end."""

    def __init__(self, path: Path, folder: str, *, compressed: bool):
        super().__init__(path, folder)
        self._compressed = compressed

    def members(
        self, wanted: Callable[[str], bool], limit: int = MEMBER_LIMIT
    ) -> Iterator[tuple[str, bytes]]:
        """See `Archive.members`."""
        with self._damage_named(), self.path.open("rb") as file:
            stream = _Gunzip(file) if self._compressed else _Plain(file)
            for name, info in self._headers(stream):
                if wanted(name):
                    self._check_size(name, info.size, limit)
                    yield name, stream.contents(info.size)

    def spans(self, wanted: Callable[[str], bool]) -> dict[str, Span]:
        """See `Archive.spans`."""
        if self._compressed:
            raise SidekickError(
                f"{self.path}: it is compressed, so its arrays cannot be read in place. Give the "
                "tar as published, or a folder that holds the extracted files"
            )
        with self._damage_named(), self.path.open("rb") as file:
            found = {
                name: Span(self.path, info.offset_data, info.size)
                for name, info in self._headers(_Plain(file))
                if wanted(name)
            }
        length = self.path.stat().st_size
        for name, span in found.items():
            if span.offset + span.size > length:
                raise self.error(name, f"the archive is truncated. {_ADVICE}")
        return found

    def _headers(self, stream: "_Forward") -> Iterator[tuple[str, tarfile.TarInfo]]:
        """Give the files below the top folder; `stream` then stands at their contents."""
        check_repetition = self._no_repetition()
        with tarfile.TarFile(fileobj=stream, mode="r") as archive:
            while (info := archive.next()) is not None:
                # tarfile would remember every header of the archive.
                archive.members.clear()
                self._check_name(info.name)
                if info.isdir():
                    continue
                if not info.isreg() or info.issparse():
                    raise SidekickError(
                        f"{self.path}: member {info.name!r} is a link, a device or a sparse file; "
                        "the archive is refused as tampered with"
                    )
                if (name := self._below(info.name)) is not None:
                    check_repetition(name)
                    yield name, info
            # tarfile takes a damaged header, and a missing end mark, for the end.
            if stream.tell() == archive.offset:
                raise EOFError("it has no end mark")
            stream.require_zeros()

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except (tarfile.TarError, zlib.error, EOFError, UnicodeError, ValueError) as error:
            raise SidekickError(
                f"{self.path}: the archive is truncated or damaged ({error}). {_ADVICE}"
            ) from None


class Zip(Archive):
    """A zip archive, read member by member."""

    def members(
        self, wanted: Callable[[str], bool], limit: int = MEMBER_LIMIT
    ) -> Iterator[tuple[str, bytes]]:
        """See `Archive.members`."""
        check_repetition = self._no_repetition()
        with self._damage_named(), zipfile.ZipFile(self.path) as archive:
            for info in archive.infolist():
                self._check_name(info.filename)
                self._check_kind(info)
                name = self._below(info.filename)
                if info.is_dir() or name is None:
                    continue
                check_repetition(name)
                if wanted(name):
                    self._check_size(name, info.file_size, limit)
                    yield name, archive.read(info)

    def spans(self, wanted: Callable[[str], bool]) -> dict[str, Span]:
        """See `Archive.spans`."""
        raise SidekickError(
            f"{self.path}: a zip's arrays cannot be read in place. Give the tar as published, or "
            "a folder that holds the extracted files"
        )

    def _check_kind(self, info: zipfile.ZipInfo) -> None:
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise SidekickError(
                f"{self.path}: member {info.filename!r} is a link or a device; the archive is "
                "refused as tampered with"
            )
        if info.flag_bits & 1:
            raise SidekickError(f"{self.path}: member {info.filename!r} is encrypted")

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
            raise SidekickError(
                f"{self.path}: the archive is truncated or damaged ({error}). {_ADVICE}"
            ) from None


class Folder(Archive):
    """A folder of extracted files, in the order of their names."""

    def __init__(self, path: Path, folder: str):
        super().__init__(path, folder)
        nested = path / folder
        self._base = nested if nested.is_dir() else path

    def members(
        self, wanted: Callable[[str], bool], limit: int = MEMBER_LIMIT
    ) -> Iterator[tuple[str, bytes]]:
        """See `Archive.members`."""
        for name, path in self._files():
            if wanted(name):
                self._check_size(name, path.stat().st_size, limit)
                try:
                    yield name, path.read_bytes()
                except OSError as error:
                    raise self.error(name, f"cannot be read ({error.strerror})") from None

    def pick(self, names: Collection[str], limit: int = MEMBER_LIMIT) -> dict[str, bytes]:
        """Give the contents of a few members; without looking at the others, unlike archives."""
        found = {}
        for name in names:
            path = self._base / name
            if path.is_file():
                self._check_link(path)
                self._check_size(name, path.stat().st_size, limit)
                found[name] = path.read_bytes()
        self.require(names, found)
        return found

    def spans(self, wanted: Callable[[str], bool]) -> dict[str, Span]:
        """See `Archive.spans`."""
        return {
            name: Span(path, 0, path.stat().st_size) for name, path in self._files() if wanted(name)
        }

    def fingerprint(self) -> tuple[str, int]:
        """Give a checksum of all files' names and contents, and their bytes in total."""
        digest, total = hashlib.sha256(), 0
        for name, path in self._files():
            digest.update(f"{name}\0{file_checksum(path, 'sha256')}\n".encode())
            total += path.stat().st_size
        return f"sha256:{digest.hexdigest()}", total

    def _files(self) -> Iterator[tuple[str, Path]]:
        for folder, subfolders, files in os.walk(self._base):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in subfolders:
                if (path := Path(folder, name)).is_symlink():
                    raise SidekickError(
                        f"{path}: a link to a folder; links to folders are not followed"
                    )
            for name in sorted(files):
                path = Path(folder, name)
                if name.startswith("."):
                    continue
                self._check_link(path)
                if not path.is_file():
                    raise SidekickError(f"{path}: not a file that can be read")
                yield path.relative_to(self._base).as_posix(), path

    def _check_link(self, path: Path) -> None:
        """Refuse links out of the folder: it may come from somebody else's archive."""
        if not path.resolve().is_relative_to(self._base.resolve()):
            raise SidekickError(
                f"{path}: a link that leaves the folder, to {path.resolve()}; refused"
            )


class _Forward:
    """What tarfile needs of a stream, which only goes forward."""

    #: Headers may claim any length for names and attributes.
    _longest_header = 2**24

    def __init__(self, file: BinaryIO):
        self._file = file
        self._position = 0

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> None:
        if position < self._position:
            raise EOFError("a header that points backwards")
        self._skip(position - self._position)

    def read(self, size: int) -> bytes:
        """Give up to `size` bytes of headers."""
        if not 0 <= size <= self._longest_header:
            raise EOFError(f"a header that claims {size} bytes")
        return self._advance(size)

    def contents(self, size: int) -> bytes:
        """Give the `size` bytes of a member."""
        data = self._advance(size)
        if len(data) < size:
            raise EOFError("it ends within a member")
        return data

    def require_zeros(self) -> None:
        """Go on to the end, where archives are padded; a gzip's checksum is verified there."""
        while data := self._advance(2**20):
            if data.count(0) < len(data):
                raise EOFError("a damaged header")

    def _advance(self, size: int) -> bytes:
        data = self._next(size)
        self._position += len(data)
        return data

    def _skip(self, size: int) -> None:
        while size > 0 and (data := self._advance(min(size, 2**20))):
            size -= len(data)

    def _next(self, size: int) -> bytes:
        raise NotImplementedError


class _Plain(_Forward):
    """A file as it is."""

    def _skip(self, size: int) -> None:
        self._position = self._file.seek(size, os.SEEK_CUR)

    def _next(self, size: int) -> bytes:
        return self._file.read(size)


class _Gunzip(_Forward):
    """A file decompressed; twice as fast as the gzip module for what hardly compresses."""

    _gzip_format = 16 + zlib.MAX_WBITS

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self._inflate = zlib.decompressobj(self._gzip_format)
        self._ready = bytearray()
        self._read = 0

    def _next(self, size: int) -> bytes:
        while len(self._ready) - self._read < size and self._more():
            pass
        data = bytes(memoryview(self._ready)[self._read : self._read + size])
        self._read += len(data)
        return data

    def _more(self) -> bool:
        """Decompress some more, at most 4 MiB at a time whatever the ratio."""
        del self._ready[: self._read]
        self._read = 0
        data = self._inflate.unconsumed_tail or self._inflate.unused_data.lstrip(b"\0")
        data = data or self._file.read(2**18)
        if self._inflate.eof:
            if not data.lstrip(b"\0"):
                return bool(data)
            self._inflate = zlib.decompressobj(self._gzip_format)
        elif not data:
            raise EOFError("it ends within the compressed data")
        self._ready += self._inflate.decompress(data, 2**22)
        return True

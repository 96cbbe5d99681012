"""What a file is by its content, whatever its name says, and unpacking it where it is packed."""

import bz2
import gzip
import lzma
import mmap
import re
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from ftcourse.engine.folders import reason
from ftcourse.engine.messages import trouble

OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
FOREIGN = {  # what is no table that can be read here, by how it begins
    b"%PDF": "PDF",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "RAR",
    b"SQLite format 3": "SQLite",
    b"\x89PNG": "PNG",
    b"{\\rtf": "RTF",
}
OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # and what has a password
LOCKED = "EncryptedPackage".encode("utf-16-le")
TAR = (b"ustar\x0000", b"ustar  \0")  # from byte 257 on
INSIDE = {  # what a ZIP is that is more than that, by a file in it
    "xl/workbook.xml": "xlsx",
    "xl/workbook.bin": "Excel (.xlsb)",
    "word/document.xml": "Word (.docx)",
    "ppt/presentation.xml": "PowerPoint (.pptx)",
    "content.xml": "OpenDocument (.ods)",
    "Index/Document.iwa": "Numbers (.numbers)",
}
MARKUP = re.compile(r"\s*<(\?xml|!doctype|html|head|meta|body|table|div|style|!--)\b", re.I)
BROKEN = (lzma.LZMAError, tarfile.TarError)
PACKED = 3  # how often a file may be packed


def started(path: Path) -> bytes:
    """The first bytes of a file."""
    with open(path, "rb") as file:
        return file.read(265)


def opened_zip(path: Path) -> ZipFile:
    """A ZIP; a `ValueError` where it is broken."""
    try:
        return ZipFile(path)
    except (BadZipFile, OSError) as error:
        raise trouble("unreadable", name=path.name, reason=reason(error)) from error


def zip_kind(path: Path) -> str:
    """What a ZIP is: "zip", "xlsx", or the name of something else that is packed like it."""
    with opened_zip(path) as archive:
        names = {*archive.namelist()}
    return next((kind for name, kind in INSIDE.items() if name in names), "zip")


def is_locked(path: Path) -> bool:
    """Whether a file of Office has a password."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(LOCKED) >= 0


def kind_of(path: Path) -> str:
    """What a file is: "zip", "tar", "packed", "xlsx", "parquet", "text", "locked", or the name of what is no table.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_bytes(b"PAR1...")
    ...     kind_of(Path(folder, "a.csv"))
    'parquet'
    """
    start = started(path)
    if start.startswith(b"PK\x03\x04"):
        return zip_kind(path)
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith((*OPENERS,)):
        return "packed"
    if start[257:] in TAR:
        return "tar"
    if start.startswith(OLD_OFFICE):
        return "locked" if is_locked(path) else "Excel 97-2003 (.xls)"
    return next((kind for mark, kind in FOREIGN.items() if start.startswith(mark)), "text")


def no_text(name: str, kind: str) -> Exception:
    """The error for a file of another kind than it must be: what it is, and what to do.

    >>> no_text("a.csv", "PDF")
    ValueError("'a.csv' is PDF, whatever its name ends with; expected a table. Open it in the program ...")
    """
    return trouble("locked_book", name=name) if kind == "locked" else trouble("foreign", name=name, kind=kind)


def only_member(names: Sequence[str], name: str) -> str:
    """The only one of the files in an archive, other than what a Mac puts there; a `ValueError` lists them where more.

    >>> only_member(["data/", "data/a.csv", "data/._a.csv"], "a.zip")
    'data/a.csv'
    """
    names = [one for one in names if not one.endswith("/") and not one.startswith("__MACOSX/")]
    names = [one for one in names if Path(one).name not in (".DS_Store", "Thumbs.db") and Path(one).name[:2] != "._"]
    if len(names) != 1:
        raise trouble("many_in_zip", name=name, count=len(names), names=", ".join(map(repr, names[:10])) or "-")
    return names[0]


def unpacked(path: Path, folder: Path) -> Path:
    """The file itself, or the only one that is packed in it, written into a folder.

    Raises `ValueError` for an archive of several files, and for one that is broken or has a password.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as there:
    ...     _ = Path(there, "a.csv.gz").write_bytes(gzip.compress(b"text\\nGood.\\n"))
    ...     unpacked(Path(there, "a.csv.gz"), Path(there, "work")).read_bytes()
    b'text\\nGood.\\n'
    """
    given = path
    for number in range(PACKED):
        kind = kind_of(path)
        if kind not in ("zip", "tar", "packed"):
            break
        target = folder / f"unpacked{number}" / given.name  # what is wrong with it is told under the name that it has
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if kind == "zip":
                with opened_zip(path) as archive:
                    copy(archive.open(only_member(archive.namelist(), given.name)), target)
            elif kind == "tar":
                with tarfile.open(path, "r:") as archive:
                    names = [one.name for one in archive if one.isfile()]
                    copy(archive.extractfile(only_member(names, given.name)), target)
            else:
                start = started(path)
                opener = next(opener for mark, opener in OPENERS.items() if start.startswith(mark))
                with opener(path) as source:
                    copy(source, target)
        except (OSError, EOFError, RuntimeError, NotImplementedError, BadZipFile, *BROKEN) as error:
            raise trouble("unreadable", name=given.name, reason=reason(error)) from error
        path = target
    return path


def copy(source, target: Path) -> None:
    """Write what a file object gives into a file."""
    with open(target, "wb") as file:
        shutil.copyfileobj(source, file)

"""In which encoding a text file is."""

import codecs
from pathlib import Path

from ftcourse.engine.messages import trouble

ENCODINGS = {"en": ("cp1252",), "ar": ("cp1256",), "zh": ("gb18030",), "zh-Hant": ("big5hkscs", "gb18030")}


def bad_bytes(path: Path, encoding: str) -> tuple[int, int, bytes] | None:
    """Line, byte in the line, and bytes of the first thing in a file that an encoding does not know, or else None.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_bytes(b"text\\nCaf\\xe9\\n")
    ...     bad_bytes(Path(folder, "a.csv"), "utf-8"), bad_bytes(Path(folder, "a.csv"), "cp1252")
    ((2, 4, b'\\xe9'), None)
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return number, error.start + 1, line[error.start : error.end]
    return None


def mostly_foreign(path: Path) -> bool:
    """Whether more than a quarter of the letters in a file are none of English: then the old Western encoding is not
    that of the file, though nearly any bytes are valid in it.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_bytes("text\\nرائع جدا\\n".encode("cp1256"))
    ...     mostly_foreign(Path(folder, "a.csv"))
    True
    """
    with open(path, "rb") as file:
        letters = [byte for byte in file.read(1_000_000) if byte >= 0x80 or chr(byte).isalpha()]
    return sum(byte >= 0x80 for byte in letters) * 4 > len(letters)


def find_encoding(path: Path, lang: str) -> str:
    """The encoding of a text file: UTF-8, with or without a mark at its start, UTF-16, or an old one of the language.

    Raises `ValueError`, with line and byte, where it is none of them.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_bytes("text\\nجيد\\n".encode("cp1256"))
    ...     find_encoding(Path(folder, "a.csv"), "ar")
    'cp1256'
    """
    with open(path, "rb") as file:
        start = file.read(3)
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    utf8 = "utf-8-sig" if start == codecs.BOM_UTF8 else "utf-8"
    tried = (utf8, *ENCODINGS[lang])
    for encoding in tried:
        if bad_bytes(path, encoding) is None and not (encoding == "cp1252" and mostly_foreign(path)):
            return encoding
    line, column, found = bad_bytes(path, utf8)
    tried = ", ".join(tried)
    raise trouble("encoding", name=path.name, line=line, column=column, found=found.hex(" "), tried=tried)

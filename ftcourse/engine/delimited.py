"""Rows of texts with a separator between them, as spreadsheets write them and as people do."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from ftcourse.engine.names import find_header, has_columns

ONE_COLUMN = "\x1f"  # a character that no text has
SEPARATORS = ",;\t|\uff0c\uff1b\u060c\u061b"  # the last four are commas and semicolons of Chinese and Arabic
SEP_LINE = re.compile(r"\ufeff?\"?sep=(.)\"?[,;\t]*\r?\n?", re.I)  # what Excel heeds in a first line
ESCAPED = re.compile(r"\\([\"\\])")
READINGS = ("quoted", "escaped", "plain")  # how quotation marks may be meant
MANY = 200  # more different values than this, and a column is none of labels
csv.field_size_limit(2**31 - 1)


class Irregular(Exception):
    """A file does not have the form that it is read in; the message's key and values say where and why."""

    def __init__(self, key: str, **values):
        super().__init__(key)
        self.key, self.values = key, values


def sep_line(start: str) -> str | None:
    """The separator that a first line such as `sep=;` names.

    >>> sep_line("sep=;\\na;b\\n"), sep_line("a;b\\n")
    (';', None)
    """
    found = SEP_LINE.match(start)
    return found[1] if found else None


def find_separator(path: Path, encoding: str, columns: Sequence[str]) -> str:
    """The character between the cells of a CSV: the one under which its header has the columns.

    Where the header has none of them, there is one column, and commas belong to its texts: `ONE_COLUMN`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text("text;label\\na, b;1\\n")
    ...     find_separator(Path(folder, "a.csv"), "utf-8", ["text", "label"])
    ';'
    """
    with open(path, encoding=encoding, newline="") as file:
        text = file.read(50_000)
    if named := sep_line(text):
        return named
    headers = {}
    for separator in (ONE_COLUMN, *SEPARATORS):
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        headers[separator] = find_header([*islice(rows, 20)], columns)[1]
    if all(len(header) < 2 for header in headers.values()):
        return ONE_COLUMN
    return max(headers, key=lambda one: (has_columns(headers[one], columns), len(headers[one])))


@dataclass
class Lines:
    """The lines of a file, counted, with those that the record being read is made of."""

    lines: Iterator[str]
    number: int = 0
    taken: list[str] = field(default_factory=list)

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.number += 1
        self.taken.append(line)
        return line


def unquoted(cell: str) -> str:
    """A cell without the quotation marks around it.

    >>> unquoted('"Say ""hi"" now"'), unquoted('"Good')
    ('Say "hi" now', '"Good')
    """
    whole = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"') if whole else cell


def split_line(line: str, separator: str) -> list[str]:
    """The cells of a line where no quotation mark holds cells or lines together.

    >>> split_line('"Good\\t1\\n', "\\t")
    ['"Good', '1']
    """
    return [unquoted(cell) for cell in line.rstrip("\r\n").split(separator)]


def records(path: Path, encoding: str, separator: str, reading: str) -> Iterator[tuple[int, list[str], list[str]]]:
    """For each record the number of its first line, its cells, and its lines; `Irregular` where a mark is unbalanced.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text('text,label\\n"a, b",1\\n')
    ...     [cells for _, cells, _ in records(Path(folder, "a.csv"), "utf-8", ",", "quoted")]
    [['text', 'label'], ['a, b', '1']]
    """
    with open(path, encoding=encoding, newline="") as file:
        lines = Lines(file)
        start = file.readline()
        if sep_line(start):
            lines.number = 1
        else:
            file.seek(0)
        if reading == "plain":
            for line in lines:
                yield lines.number, split_line(line, separator) if line.strip("\r\n") else [], [line]
                lines.taken.clear()
            return
        if reading == "escaped":
            lines.lines = (ESCAPED.sub(lambda found: '""' if found[1] == '"' else found[1], line) for line in file)
        rows = csv.reader(lines, delimiter=separator, strict=True)
        while True:
            lines.taken = []
            try:
                cells = next(rows, None)
            except csv.Error:
                first = lines.number - len(lines.taken) + 1
                raise Irregular("stray_quote", line=first, last=lines.number) from None
            if cells is None:
                return
            yield lines.number - len(lines.taken) + 1, cells, lines.taken


@dataclass
class Swallowed:
    """Looks for records that took in others, for a text that begins with a quotation mark and never ends."""

    separator: str
    seen: list[set | None]
    long: list[tuple[int, list[list[str]]]] = field(default_factory=list)
    few: list[int] = field(default_factory=list)  # the columns that have few different values so far

    def __post_init__(self):
        self.few = [*range(len(self.seen))]

    def note(self, line: int, cells: list[str], lines: list[str]) -> None:
        """Heed a record: its values where it is one line, and where it is more, whether its lines may be records."""
        if len(lines) == 1:
            for place in self.few:
                self.seen[place].add(cells[place])
                if len(self.seen[place]) > MANY:
                    self.seen[place] = None
                    self.few = [one for one in self.few if one != place]
        elif len(self.long) < 1000 and len(self.seen) > 1:
            parts = [split_line(part, self.separator) for part in lines]
            if all(len(part) == len(self.seen) for part in parts):
                self.long.append((line, parts))

    def check(self) -> None:
        """`Irregular`, with the first and last line, where all lines of a record end in labels that others have."""
        labels = [(place, known - {""}) for place, known in enumerate(self.seen) if known]
        for line, parts in self.long:
            if any(all(part[place] in known for part in parts) for place, known in labels):
                raise Irregular("stray_quote", line=line, last=line + len(parts) - 1)


def regular(
    path: Path, encoding: str, separator: str, reading: str, columns: Sequence[str]
) -> Iterator[tuple[int, list[str]]]:
    """The header and the rows, each with its line and as many cells as the header; `Irregular` where that is not so.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.tsv").write_text('text\\tlabel\\n"Good\\t1\\nBad\\t0\\n')
    ...     [*regular(Path(folder, "a.tsv"), "utf-8", "\\t", "plain", ["text", "label"])]
    [(1, ['text', 'label']), (2, ['"Good', '1']), (3, ['Bad', '0'])]
    """
    found = records(path, encoding, separator, reading)
    start = [*islice(found, 20)]
    place, header = find_header([cells for _, cells, _ in start], columns)
    size, swallowed = len(header), None
    if start:
        yield start[place][0], header
        swallowed = Swallowed(separator, [set() for _ in header])
    for line, cells, lines in chain(start[place + 1 :], found):
        if not cells:
            continue
        if len(cells) > size and any(cells[size:]):
            raise Irregular("extra_cells", line=line)
        if reading == "plain" and (len(cells) != size or (size == 1 and lines[0][0] == '"' == lines[0].rstrip()[-1])):
            raise Irregular("stray_quote", line=line, last=line)
        if len(cells) != size:
            cells = cells[:size] + [""] * (size - len(cells))
        if reading != "plain":
            swallowed.note(line, cells, lines)
        yield line, cells
    if swallowed:
        swallowed.check()

"""Sheets of Excel files."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from itertools import islice
from pathlib import Path

from ftcourse.engine.folders import reason
from ftcourse.engine.messages import trouble
from ftcourse.engine.names import find_header, has_columns

NO_VALUES = {"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!"}


def sheet_cell(value: object) -> str | None:
    """The value of a cell as a text, None for a gap and for what a formula could not work out.

    >>> sheet_cell(4.0), sheet_cell("Good."), sheet_cell("#N/A"), sheet_cell(True)
    ('4', 'Good.', None, 'True')
    """
    if value is None or value == "" or (isinstance(value, str) and value in NO_VALUES):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime | date | time):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    return str(value)


def sheet_rows(sheet) -> Iterator[list[str | None]]:
    """The rows of a sheet, as texts."""
    if hasattr(sheet, "reset_dimensions"):
        sheet.reset_dimensions()  # what the file says of its size may be wrong
    for row in sheet.iter_rows(values_only=True):
        yield [sheet_cell(value) for value in row]


@contextmanager
def opened_book(path: Path):
    """An Excel file, whatever its name ends with."""
    from openpyxl import load_workbook

    with open(path, "rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and extensions that are not heeded
        try:
            book = load_workbook(file, read_only=True, data_only=True)
        except Exception as error:  # whatever is in a broken one, openpyxl may stumble over it
            raise trouble("unreadable", name=path.name, reason=reason(error)) from error
        try:
            yield book
        finally:
            book.close()


def chosen_sheet(book, name: str, columns: Sequence[str], sheet: str | None):
    """The sheet that was named, or else the only one with something in it, or with the columns.

    Raises `ValueError`, listing the sheets, where there is none of the name, or more than one that it may be.
    """
    sheets = {one.title: one for one in book.worksheets}
    listed = ", ".join(map(repr, sheets)) or "-"
    if sheet is not None:
        if sheet not in sheets:
            raise trouble("no_sheet", name=name, given=sheet, sheets=listed)
        return sheets[sheet]
    starts = {title: [*islice(sheet_rows(one), 20)] for title, one in sheets.items()}
    filled = [title for title, rows in starts.items() if any(any(row) for row in rows)]
    if not filled:
        raise trouble("no_rows", name=name)
    fitting = [title for title in filled if has_columns(find_header(starts[title], columns)[1], columns)]
    if len(fitting) > 1:
        raise trouble("which_sheet", name=name, sheets=", ".join(map(repr, fitting)), first=fitting[0])
    return sheets[(fitting or filled)[0]]


def excel_rows(path: Path, name: str, columns: Sequence[str], sheet: str | None) -> Iterator[tuple[int, list]]:
    """The header of a sheet and its rows, with their numbers; those without anything in them are left out.

    >>> import pandas as pd
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     pd.DataFrame({"review": ["Good."], "stars": [5]}).to_excel(Path(folder, "a.xlsx"), index=False)
    ...     [*excel_rows(Path(folder, "a.xlsx"), "a.xlsx", ["review"], None)]
    [(1, ['review', 'stars']), (2, ['Good.', '5'])]
    """
    with opened_book(path) as book:
        rows = enumerate(sheet_rows(chosen_sheet(book, name, columns, sheet)), start=1)
        start = [*islice(rows, 20)]
        if not start:
            raise trouble("no_rows", name=name)
        place, header = find_header([cells for _, cells in start], columns)
        while header and header[-1] is None:
            header.pop()
        size = len(header)
        yield start[place][0], ["" if cell is None else cell for cell in header]
        for part in (start[place + 1 :], rows):
            for line, cells in part:
                if any(cell is not None for cell in cells):
                    yield line, [*cells[:size], *[None] * (size - len(cells))]

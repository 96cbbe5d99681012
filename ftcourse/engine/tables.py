"""Tables of all kinds, read as texts: the encoding is found out, and each error names file, row and column."""

import csv
import io
import re
import reprlib
import warnings
from collections.abc import Sequence
from glob import escape
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict, Features, Value, load_dataset
from datasets.exceptions import DatasetGenerationError

from ftcourse.engine.encodings import find_encoding
from ftcourse.engine.folders import reason
from ftcourse.engine.messages import trouble

CSV_OPTIONS = {"encoding": "utf-8-sig", "keep_default_na": False, "na_values": [""]}


JSON_OPTIONS = {"encoding": "utf-8-sig"}


READERS = {
    ".csv": ("csv", CSV_OPTIONS),
    ".tsv": ("csv", CSV_OPTIONS | {"sep": "\t"}),
    ".json": ("json", JSON_OPTIONS),
    ".jsonl": ("json", JSON_OPTIONS),
    ".parquet": ("parquet", {}),
}


def check_table_file(path: Path) -> None:
    """Make sure that a file has a known suffix, exists, and is not empty.

    Raises `ValueError`, listing the known suffixes, or `FileNotFoundError`.

    >>> check_table_file(Path("films.xlsx"))
    Traceback (most recent call last):
    ValueError: cannot tell the format of 'films.xlsx' by its suffix; known: .csv, .tsv, .json, .jsonl, .parquet
    """
    if path.suffix.lower() not in READERS:
        raise trouble("suffix", name=path.name, known=", ".join(READERS))
    if not path.is_file():
        raise trouble("no_file", FileNotFoundError, name=str(path))
    if path.stat().st_size == 0:
        raise trouble("empty_file", name=path.name)


def read_table(path: str | Path, **options) -> Dataset:
    """A table from a file: CSV, TSV, JSON, JSON lines or Parquet, by suffix; `options` go to `load_dataset`.

    In a CSV, an empty cell is a gap (`None`), and words such as "NA" stay words. Raises `FileNotFoundError` for
    no such file, `ValueError` for an unknown suffix, for no rows, and for what cannot be read, with the reason.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "own.tsv").write_text("text\\tlabel\\nGood.\\t1\\n")
    ...     read_table(Path(folder, "own.tsv"), cache_dir=folder)[0]
    {'text': 'Good.', 'label': 1}
    """
    path = Path(path)
    check_table_file(path)
    builder, defaults = READERS[path.suffix.lower()]
    try:
        return load_dataset(builder, data_files=escape(str(path)), split="train", **(defaults | options))
    except (DatasetGenerationError, ValueError) as error:
        if "corresponds to no data" in str(error):
            raise trouble("no_rows", name=path.name) from None
        raise trouble("not_read", name=path.name, kind=builder, reason=error.__cause__ or error) from error


ONE_COLUMN = "\x1f"  # a character that no text has


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
        start = io.StringIO(file.read(50_000), newline="")
    headers = {}
    for separator in ",;\t|":
        start.seek(0)
        headers[separator] = next(filter(None, csv.reader(start, delimiter=separator)), [])
    if all(len(header) == 1 for header in headers.values()):
        return ONE_COLUMN
    return max(headers, key=lambda separator: (set(columns) <= {*headers[separator]}, len(headers[separator])))


def cell_text(value: object, *, label: bool = False) -> str | None:
    """A cell as a text, None for a gap. A label may also be a whole number or a truth value; else it is a `TypeError`.

    >>> cell_text("Good."), cell_text(float("nan")), cell_text(4.0, label=True), cell_text("4.0", label=True)
    ('Good.', None, '4', '4')
    """
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return None
    if isinstance(value, str):
        value.encode()
        return re.sub(r"^([+-]?\d+)\.0$", r"\1", value) if label else value
    if label and isinstance(value, bool | np.bool_ | int | np.integer):
        return str(value)
    if label and isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    raise TypeError(reprlib.repr(value))


def column_texts(values: Sequence, name: str, column: str, *, label: bool = False, start: int = 1) -> list:
    """The cells of a column as texts or None. A `ValueError` names table, row (counted from 1) and column of a bad one.

    >>> column_texts([1, None], "own.xlsx", "stars", label=True)
    ['1', None]
    """
    texts = []
    for row, value in enumerate(values, start):
        try:
            texts.append(cell_text(value, label=label))
        except UnicodeEncodeError as error:
            given = ascii(error.object[error.start : error.end])
            raise trouble("surrogate", name=name, row=row, column=column, given=given) from None
        except TypeError as error:
            key = "label_cell" if label else "cell"
            raise trouble(key, name=name, row=row, column=column, given=error) from None
    return texts


def table_rows(path: Path, cache_dir: str, **options) -> Dataset:
    """What `read_table` reads; its errors in words for those who do not load tables themselves.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text("text\\n")
    ...     table_rows(Path(folder, "a.csv"), folder)
    Traceback (most recent call last):
    ValueError: 'a.csv' has no rows; expected a row or more
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return read_table(path, cache_dir=cache_dir, **options)
    except ValueError as error:
        if error.__cause__ is None:
            raise
        why = error.__cause__.__cause__ or error.__cause__
        if isinstance(why, pd.errors.ParserWarning):
            raise trouble("extra_cells", name=path.name) from None
        raise trouble("unreadable", name=path.name, reason=reason(why)) from error


def read_csv(path: Path, columns: Sequence[str], lang: str, cache_dir: str) -> tuple[Dataset, str]:
    """A CSV or TSV with each cell as text, None for a gap, and its encoding.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text("text,label\\nGood.,1\\n")
    ...     read_csv(Path(folder, "a.csv"), ["text", "label"], "en", folder)[0][0]
    {'text': 'Good.', 'label': '1'}
    """
    encoding = find_encoding(path, lang)
    separator = "\t" if path.suffix.lower() == ".tsv" else find_separator(path, encoding, columns)
    header = pd.read_csv(path, sep=separator, encoding=encoding, nrows=0, index_col=False).columns
    features = Features({name: Value("string") for name in header})
    options = {"encoding": encoding, "sep": separator, "features": features, "index_col": False}
    return table_rows(path, cache_dir, **options), encoding


def read_excel(path: Path) -> pd.DataFrame:
    """The first sheet of an Excel file, with each cell as text, NaN for a gap; a `ValueError` where it is none."""
    try:
        return pd.read_excel(path, dtype=str, keep_default_na=False, na_values=[""], engine="openpyxl")
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise trouble("unreadable", name=path.name, reason=reason(error)) from error


TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx")


def read_file(path: Path, columns: Sequence[str], lang: str, cache_dir: str) -> tuple[Dataset | pd.DataFrame, str]:
    """A table from a file, and its encoding; a `ValueError` with the name of the file says what is wrong with it."""
    if path.suffix.lower() not in TABLES:
        raise trouble("suffix", name=path.name, known=", ".join(TABLES))
    if path.is_dir():
        raise trouble("folder", name=str(path))
    if not path.exists():
        raise trouble("no_file", name=str(path))
    if path.stat().st_size == 0:
        raise trouble("empty_file", name=path.name)
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return read_csv(path, columns, lang, cache_dir)
    if suffix == ".xlsx":
        return read_excel(path), "xlsx"
    encoding = "parquet" if suffix == ".parquet" else find_encoding(path, lang)
    options = {} if suffix == ".parquet" else {"encoding": encoding}
    return table_rows(path, cache_dir, **options), encoding


def open_table(table: object, columns: Sequence[str], lang: str, cache_dir: str) -> tuple[Dataset | pd.DataFrame, dict]:
    """A table of any kind, and where it came from; a `ValueError` where it is none, or cannot be read.

    >>> open_table(pd.DataFrame({"text": ["Good."]}), ["text"], "en", "")[1]
    {'name': 'table', 'columns': ['text'], 'encoding': 'DataFrame'}
    """
    source = {"name": "table", "columns": [*columns], "encoding": type(table).__name__}
    if isinstance(table, DatasetDict | dict):
        raise trouble("splits", splits=", ".join(map(repr, table)), first=next(iter(table), None))
    if isinstance(table, pd.DataFrame | Dataset):
        return table, source
    if not isinstance(table, str | Path):
        raise trouble("table_type", given=type(table).__name__)
    try:
        rows, encoding = read_file(Path(table), columns, lang, cache_dir)
    except (OSError, KeyError, UnicodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise trouble("unreadable", name=Path(table).name, reason=reason(error)) from error
    return rows, source | {"name": Path(table).name, "encoding": encoding}


def check_table(rows: Dataset | pd.DataFrame, source: dict) -> None:
    """Make sure that a table has rows and the columns asked for, each once.

    >>> check_table(pd.DataFrame({"text": ["Good."]}), {"name": "table", "columns": ["text"]})
    """
    names = [*(rows.columns if isinstance(rows, pd.DataFrame) else rows.column_names)]
    for column in source["columns"]:
        if names.count(column) != 1:
            listed = ", ".join(map(repr, names)) or "-"
            raise trouble("no_column", name=source["name"], given=column, columns=listed)
    if len(rows) == 0:
        raise trouble("no_rows", name=source["name"])


def plain_batch(
    batch: dict, indices: Sequence[int], columns: dict[str, str], source: dict, names: list[str] | None
) -> dict[str, list]:
    """Some rows, their columns renamed as `columns` says, with texts or None in them; `names` are those of labels.

    >>> plain_batch({"stars": [1, None]}, [0, 1], {"stars": "label"}, {"name": "table"}, None)
    {'label': ['1', None]}
    """
    found = {}
    for column, new in columns.items():
        values, label = [*batch[column]], new == "label"
        if label and names:
            values = [names[value] if isinstance(value, int) and value >= 0 else None for value in values]
        start = indices[0] + 1 if len(indices) else 1
        found[new] = column_texts(values, source["name"], column, label=label, start=start)
    return found


def plain_rows(rows: Dataset | pd.DataFrame, source: dict, new: Sequence[str]) -> Dataset:
    """The rows with the columns of the source under `new` names: texts, or None for a gap.

    >>> source = {"name": "table", "columns": ["review", "stars"]}
    >>> plain_rows(pd.DataFrame({"review": ["Good."], "stars": [5]}), source, ["text", "label"])[0]
    {'text': 'Good.', 'label': '5'}
    """
    check_table(rows, source)
    columns, features = dict(zip(source["columns"], new, strict=True)), Features(dict.fromkeys(new, Value("string")))
    options = {"columns": columns, "source": source, "names": None}
    if isinstance(rows, pd.DataFrame):
        return Dataset.from_dict(plain_batch(rows, range(len(rows)), **options), features=features)
    options["names"] = getattr(rows.features[source["columns"][-1]], "names", None)
    rows = rows.with_format(None).select_columns(source["columns"])
    how = {"batched": True, "with_indices": True, "remove_columns": rows.column_names, "features": features}
    return rows.map(plain_batch, fn_kwargs=options, **how)


def plain_texts(table: object, columns: Sequence[str], lang: str, cache_dir: str) -> Dataset:
    """The texts of a table without labels, or pairs of them, in the columns `text` and, for pairs, `text_pair`.

    >>> plain_texts(pd.DataFrame({"review": ["Good.", None]}), ["review"], "en", "")[:]
    {'text': ['Good.', None]}
    """
    if len(columns) not in (1, 2):
        raise trouble("text_type", given=reprlib.repr([*columns]))
    if len({*columns}) < len(columns):
        raise trouble("same_column", given=columns[0])
    rows, source = open_table(table, columns, lang, cache_dir)
    return plain_rows(rows, source, ("text", "text_pair")[: len(columns)])

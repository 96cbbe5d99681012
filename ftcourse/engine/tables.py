"""Tables of all kinds, read as texts: the encoding is found out, and each error names file, row and column."""

import os
import re
import reprlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from itertools import islice
from pathlib import Path
from tempfile import mkdtemp
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Dataset, DatasetDict, Features, Value, load_dataset
from datasets.exceptions import DatasetGenerationError
from pyarrow.parquet import read_metadata

from ftcourse.engine.delimited import READINGS, Irregular, find_separator, regular
from ftcourse.engine.encodings import find_encoding
from ftcourse.engine.folders import is_full, name_of, reason
from ftcourse.engine.formats import MARKUP, kind_of, no_text, unpacked
from ftcourse.engine.jsons import has_lines, json_lines, json_table, lines_schema
from ftcourse.engine.messages import in_words, trouble
from ftcourse.engine.names import chosen_columns
from ftcourse.engine.sheets import excel_rows

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


def cell_text(value: object) -> str | None:
    """A cell as a text, None for a gap; what is neither is a `TypeError`.

    >>> cell_text("Good."), cell_text(float("nan"))
    ('Good.', None)
    """
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return None
    if isinstance(value, str):
        value.encode()
        return value
    raise TypeError(reprlib.repr(value))


def column_texts(values: Sequence, name: str, column: str, start: int = 1) -> list:
    """The cells of a column as texts or None. A `ValueError` names table, row (counted from 1) and column of a bad one.

    >>> column_texts(["Good.", 1], "own.xlsx", "review")
    Traceback (most recent call last):
    ValueError: 'own.xlsx', row 2, column 'review': got 1; expected a text
    """
    texts = []
    for row, value in enumerate(values, start):
        try:
            texts.append(cell_text(value))
        except UnicodeEncodeError as error:
            given = ascii(error.object[error.start : error.end])
            raise trouble("surrogate", name=name, row=row, column=column, given=given) from None
        except TypeError as error:
            raise trouble("cell", name=name, row=row, column=column, given=error) from None
    return texts


@dataclass(frozen=True)
class TableFile:
    """The path of a table, with the encoding of its texts, or the sheet, where they cannot be told from the file.

    >>> TableFile("films.xlsx", sheet="2024").name
    'films.xlsx'
    """

    path: str | Path
    encoding: str | None = None
    sheet: str | None = None

    @property
    def name(self) -> str:
        """The name of the file, without its folders."""
        return name_of(self.path)


TABLES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet", ".xlsx")
ALSO = (".tab", ".ndjson", ".xls", ".xlsm", ".gz", ".zip", ".bz2", ".xz", ".tar", ".tgz")  # what is in them decides
AT_ONCE = 10_000  # rows that are written at a time
LARGE = 100_000  # rows of a part that is read and written in the order of the table


def unique(names: Sequence[str]) -> list[str]:
    """The names, those that occurred before with a number.

    >>> unique(["note", "", "note", ""])
    ['note', '', 'note.1', '.1']
    """
    found = {}
    for name in names:
        number, new = 0, name
        while new in found:
            number += 1
            new = f"{name}.{number}"
        found[new] = None
    return [*found]


@contextmanager
def arrow_file(cache_dir: str, schema: pa.Schema) -> Iterator[tuple[Path, pa.ipc.RecordBatchStreamWriter]]:
    """A new file for a table, which `Dataset.from_file` opens, and what writes into it.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, arrow_file(folder, pa.schema([("a", pa.int64())])) as (path, writer):
    ...     path.name
    'table.arrow'
    """
    folder = Path(cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    target = Path(mkdtemp(prefix="table-", dir=folder)) / "table.arrow"
    with pa.OSFile(str(target), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        yield target, writer


def written(rows: Iterator[tuple[int, list]], source: dict, cache_dir: str) -> Dataset:
    """The rows as a data set on the disk, with all cells as texts or None; the first row has the columns' names.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     rows = iter([(1, ["text", "label"]), (2, ["Good.", ""])])
    ...     written(rows, {"name": "a.csv", "columns": ["text"]}, folder)[0]
    {'text': 'Good.', 'label': None}
    """
    header = next(rows, (0, []))[1]
    chosen_columns(header, source)
    names = unique(header)
    schema = pa.schema([(name, pa.string()) for name in names])
    count = 0
    with arrow_file(cache_dir, schema) as (target, writer):
        while batch := [cells for _, cells in islice(rows, AT_ONCE)]:
            columns = [pa.array([cell or None for cell in column], pa.string()) for column in zip(*batch, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            count += len(batch)
    if not count:
        raise trouble("no_rows", name=source["name"])
    return Dataset.from_file(str(target))


def taken(rows: Dataset, places: np.ndarray) -> pa.Table:
    """Some of the rows, which come as Arrow, in the order of their places; read from front to back, a part at a time.

    >>> rows = Dataset.from_dict({"text": ["a", "b", "c"]}).with_format("arrow")
    >>> taken(rows, np.array([2, 0])).to_pydict()
    {'text': ['c', 'a']}
    """
    order, parts = np.argsort(places, kind="stable"), []
    ordered = places[order]
    for start in range(int(ordered[0]), int(ordered[-1]) + 1, 10 * AT_ONCE):
        low, high = np.searchsorted(ordered, (start, start + 10 * AT_ONCE))
        if low < high:
            part = rows[start : int(ordered[high - 1]) + 1].combine_chunks()
            parts.append(part.take(pa.array(ordered[low:high] - start)))
    return pa.concat_tables(parts).combine_chunks().take(pa.array(np.argsort(order)))


def labelled(rows: Dataset, places: np.ndarray, labels: np.ndarray, feature: object, cache_dir: str) -> Dataset:
    """Some of the rows, by their places, with these labels in the column `label`; on the disk, where there is a folder.

    A part of more than `LARGE` rows comes in the order of the table: it is read from front to back, and so written.

    >>> rows = Dataset.from_dict({"text": ["a", "b", "c"], "label": ["x", "y", "x"]})
    >>> labelled(rows, np.array([2, 0]), np.array([1, 1]), Value("int64"), "")[:]
    {'text': ['c', 'a'], 'label': [1, 1]}
    """
    if not cache_dir:
        values = labels if labels.ndim == 1 else [*labels]
        return rows.select(places).remove_columns("label").add_column("label", values, feature=feature)
    if len(places) > LARGE and (places[1:] < places[:-1]).any():
        order = np.argsort(places)
        places, labels = places[order], labels[order]
    texts = rows.remove_columns("label").with_format("arrow")
    schema = Features({**texts.features, "label": feature}).arrow_schema
    step = AT_ONCE if len(places) > LARGE else max(len(places), 1)
    with arrow_file(cache_dir, schema) as (target, writer):
        for start in range(0, len(places), step):
            found = taken(texts, places[start : start + step])
            values = labels[start : start + step]
            values = values if values.ndim == 1 else [*values]
            found = found.append_column(schema.field("label"), pa.array(values, schema.field("label").type))
            writer.write_table(found.cast(schema))
    return Dataset.from_file(str(target))


def read_delimited(path: Path, source: dict, cache_dir: str) -> Dataset:
    """A CSV, TSV or the like, with each cell as text, None for a gap.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text("text,label\\nGood.,1\\n")
    ...     source = {"name": "a.csv", "columns": ["text"], "encoding": "utf-8"}
    ...     read_delimited(Path(folder, "a.csv"), source, folder)[0]
    {'text': 'Good.', 'label': '1'}
    """
    encoding, problems = source["encoding"], []
    separator = find_separator(path, encoding, source["columns"])
    for reading in READINGS:
        try:
            return written(regular(path, encoding, separator, reading, source["columns"]), source, cache_dir)
        except Irregular as error:
            problems.append(error)
    raise trouble(problems[0].key, name=source["name"], **problems[0].values)


def read_lines(path: Path, encoding: str, name: str, cache_dir: str) -> Dataset | None:
    """A file of JSON lines as a data set on the disk, read twice; None where a column has values of several kinds.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.jsonl").write_text('{"text": "Good.", "stars": 5}\\n{"stars": 4.5}\\n')
    ...     read_lines(Path(folder, "a.jsonl"), "utf-8", "a.jsonl", folder)[:]
    {'text': ['Good.', None], 'stars': [5.0, 4.5]}
    """
    with open(path, encoding=encoding) as file:
        schema = lines_schema(json_lines(file, name))
    if schema is None:
        return None
    with open(path, encoding=encoding) as file, arrow_file(cache_dir, schema) as (target, writer):
        records = json_lines(file, name)
        while batch := [*islice(records, AT_ONCE)]:
            try:
                writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
            except UnicodeEncodeError:  # half a character, whose place is told where the table is in memory
                return None
    return Dataset.from_file(str(target))


def read_text(path: Path, source: dict, lang: str, given: str | None, cache_dir: str) -> tuple[object, str]:
    """A table in a text file, JSON or with separators, and its encoding."""
    encoding = source["encoding"] = find_encoding(path, lang, given)
    with open(path, encoding=encoding, newline="") as file:
        start = file.read(10_000)
    if MARKUP.match(start.lstrip("\ufeff")):
        raise trouble("foreign", name=source["name"], kind="HTML/XML")
    if not start.strip("\ufeff \t\r\n"):
        raise trouble("empty_file", name=source["name"])
    if start.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        rows = read_lines(path, encoding, source["name"], cache_dir) if has_lines(path, encoding) else None
        if rows is not None:
            return rows, encoding
        return pd.DataFrame(json_table(path, encoding, source["name"], source["columns"]), dtype=object), encoding
    return read_delimited(path, source, cache_dir), encoding


def read_parquet(path: Path, name: str, cache_dir: str) -> Dataset:
    """A Parquet file; from a copy, where its name means something else to those who read it."""
    folder = Path(cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if not re.fullmatch(r"[\w .-]+", path.name) or path.suffix != ".parquet" or "::" in str(path):
        path = Path(shutil.copy(path, Path(mkdtemp(prefix="table-", dir=folder)) / "table.parquet"))
    try:
        rows = read_table(path, cache_dir=cache_dir) if read_metadata(path).num_rows else None
    except ValueError as error:
        why = error.__cause__ and (error.__cause__.__cause__ or error.__cause__)
        raise trouble("unreadable", name=name, reason=reason(why or error)) from error
    if rows is None:
        raise trouble("no_rows", name=name)
    return rows


def read_file(table: TableFile, columns: Sequence[str], lang: str, cache_dir: str) -> tuple[object, str]:
    """A table from a file, and its encoding; a `ValueError` with the name of the file says what is wrong with it."""
    path, name = Path(table.path), table.name
    if path.is_dir():
        raise trouble("folder", name=str(path))
    if path.suffix.lower() not in (*TABLES, *ALSO):
        raise trouble("suffix", name=name, known=", ".join(TABLES))
    if not path.exists():
        raise trouble("no_file", name=str(path))
    if path.stat().st_size == 0:
        raise trouble("empty_file", name=name)
    path, source = unpacked(path, Path(cache_dir)), {"name": name, "columns": [*columns]}
    kind = kind_of(path) if path.stat().st_size else "empty"
    if kind == "empty":
        raise trouble("empty_file", name=name)
    if kind == "xlsx":
        try:
            return written(excel_rows(path, name, columns, table.sheet), source, cache_dir), "xlsx"
        except (KeyError, TypeError, AttributeError, IndexError, BadZipFile, SyntaxError) as error:
            raise trouble("unreadable", name=name, reason=reason(error)) from error
    if table.sheet is not None:
        raise trouble("no_sheets", name=name, given=table.sheet)
    if kind == "parquet":
        return read_parquet(path, name, cache_dir), "parquet"
    if kind != "text":
        raise no_text(name, kind)
    return read_text(path, source, lang, table.encoding, cache_dir)


@contextmanager
def while_reading(name: str, folder: str) -> Iterator[None]:
    """While a table called `name` is read: what the system refuses is a `ValueError` with that name, and a full disk
    an `OSError` with the folder that needs room.

    >>> with while_reading("a.csv", "work"):
    ...     raise PermissionError(13, "Permission denied")
    Traceback (most recent call last):
    ValueError: cannot read 'a.csv': Permission denied; mend the file there, ...
    """
    try:
        yield
    except (OSError, ValueError) as error:
        if is_full(error):
            raise trouble("no_room", OSError, folder=folder, reason=in_words("reason_full")) from error
        if isinstance(error, OSError | UnicodeError):
            raise trouble("unreadable", name=name, reason=reason(error)) from error
        raise


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
    if isinstance(table, str | Path):
        table = TableFile(table)
    if not isinstance(table, TableFile):
        raise trouble("table_type", given=type(table).__name__)
    with while_reading(table.name, cache_dir):
        rows, encoding = read_file(table, columns, lang, cache_dir)
    return rows, source | {"name": table.name, "encoding": encoding}


def check_table(rows: Dataset | pd.DataFrame, source: dict) -> list:
    """The names in a table of the columns asked for; a `ValueError` where one is missing, or where there are no rows.

    >>> check_table(pd.DataFrame({" text": ["Good."]}), {"name": "table", "columns": ["text"]})
    [' text']
    """
    found = chosen_columns([*(rows.columns if isinstance(rows, pd.DataFrame) else rows.column_names)], source)
    if len(rows) == 0:
        raise trouble("no_rows", name=source["name"])
    return found


def plain_batch(batch: dict, indices: Sequence[int], columns: dict[str, str], source: dict) -> dict[str, list]:
    """Some rows, their columns renamed as `columns` says, with texts or None in them.

    >>> plain_batch({"review": ["Good.", None]}, [0, 1], {"review": "text"}, {"name": "table"})
    {'text': ['Good.', None]}
    """
    start = indices[0] + 1 if len(indices) else 1
    return {new: column_texts(batch[column], source["name"], column, start) for column, new in columns.items()}


def chosen(rows: Dataset | pd.DataFrame, source: dict) -> Dataset | pd.DataFrame:
    """The columns asked for and no others, each under the very name that it is asked for by.

    >>> chosen(pd.DataFrame({" text": ["Good."], "id": [7]}), {"name": "table", "columns": ["text"]})["text"].tolist()
    ['Good.']
    """
    found, names = check_table(rows, source), source["columns"]
    if len({*found}) < len(found):
        twice = [name for name, one in zip(names, found, strict=True) if found.count(one) > 1]
        raise trouble("same_column", given=twice[0])
    if isinstance(rows, pd.DataFrame):
        return rows[found].set_axis(names, axis=1)
    return rows.select_columns(found).rename_columns(dict(zip(found, names, strict=True)))


def mapped(rows: Dataset, work: Callable, cache_dir: str, **how) -> Dataset:
    """As `map` in batches, whose result is kept in `cache_dir`, and not beside the data, where nobody may write.

    >>> mapped(Dataset.from_dict({"a": [1, 2]}), lambda batch: {"b": batch["a"]}, "").column_names
    ['a', 'b']
    """
    if rows.cache_files and cache_dir:
        os.makedirs(cache_dir, exist_ok=True)
        place = Path(mkdtemp(prefix="map-", dir=cache_dir), "rows.arrow")
        how |= {"cache_file_name": str(place), "load_from_cache_file": False}
    return rows.map(work, batched=True, **how)


def plain_rows(rows: Dataset | pd.DataFrame, source: dict, new: Sequence[str], cache_dir: str = "") -> Dataset:
    """The rows with the columns of the source under `new` names: texts, or None for a gap. What is made of a table on
    the disk is kept in `cache_dir`.

    >>> source = {"name": "table", "columns": ["review", "stars"]}
    >>> plain_rows(pd.DataFrame({"review": ["Good."], "stars": ["5"]}), source, ["text", "label"])[0]
    {'text': 'Good.', 'label': '5'}
    """
    found, features = check_table(rows, source), Features(dict.fromkeys(new, Value("string")))
    columns = dict(zip(found, new, strict=True))
    options = {"columns": columns, "source": source}
    if isinstance(rows, pd.DataFrame):
        return Dataset.from_dict(plain_batch(rows, range(len(rows)), **options), features=features)
    rows = rows.with_format(None).select_columns(found)
    how = {"with_indices": True, "remove_columns": rows.column_names, "features": features}
    return mapped(rows, plain_batch, cache_dir, fn_kwargs=options, **how)

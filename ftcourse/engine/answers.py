"""Answers for the rows of a table: some rows at a time, after those that an earlier run wrote, with the columns that
they are to keep; from a pipe and to one."""

import csv
import hashlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from datasets import Dataset

from ftcourse.engine.calls import check_texts
from ftcourse.engine.contents import bytes_hash, content_hash
from ftcourse.engine.encodings import find_encoding
from ftcourse.engine.folders import only_file, reason, remove, written_whole
from ftcourse.engine.formats import kind_of, no_text, unpacked
from ftcourse.engine.messages import language, message, trouble
from ftcourse.engine.names import chosen_columns
from ftcourse.engine.progress import in_terminal, quiet_libraries
from ftcourse.engine.tables import ALSO, TABLES, TableFile, open_table, plain_rows, while_reading, written

NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?(e[+-]?\d+)?", re.I)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
NAME = re.compile(r'\s*"((?:[^"]|"")*)"\s*(?=[,\uff0c\u060c]|$)|([^,\uff0c\u060c]+)')  # commas of three scripts
ALL = "all"
PIPE = "-"
LINE = "text"  # the column that lines are in
NOT_CSV = {*TABLES, *ALSO, ".ods", ".html", ".md", ".docx", ".pdf"} - {".csv", ".txt"}
TOGETHER = 1000  # rows that are answered, written and counted in one go


def neutral(cell: object) -> str:
    """A cell that no spreadsheet takes for a formula: with an apostrophe in front where it began like one.

    A sign alone is none.

    >>> neutral("=1+1"), neutral("-2.1e-05"), neutral("-"), neutral(None)
    ("'=1+1", '-2.1e-05', '-', '')
    """
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(FORMULA) and len(text) > 1 and not NUMBER.fullmatch(text) else text


def names_in(given: Sequence[str]) -> list[str]:
    """The names of columns in what was given, with commas between them; a name with a comma stands in quotation marks.

    >>> names_in(["id, date", "id", '"last, first"'])
    ['id', 'date', 'last, first']
    """
    parts = [part for value in given for part in NAME.findall(value)]
    names = [quoted.replace('""', '"') or plain.strip() for quoted, plain in parts]
    return [*dict.fromkeys(name for name in names if name)]


@dataclass(frozen=True)
class Asked:
    """What answers are asked for: for which table and columns of texts, with which columns kept, and how.

    `keep` has names of columns, or "all". With `lines`, the file has a text in each line. `how` goes to `Predictor`.

    >>> Asked(TableFile("new.csv"), ["review"], keep=["id"]).keep
    ['id']
    """

    table: TableFile
    columns: list[str]
    keep: list[str] = field(default_factory=list)
    lines: bool = False
    raw: bool = False
    lang: str = "en"
    how: dict = field(default_factory=dict)


def answer_columns(config, columns: Sequence[str]) -> list[str]:
    """The names of the columns for the answers, none of which is among the `columns` beside them.

    >>> from transformers import PretrainedConfig
    >>> answer_columns(PretrainedConfig(), ["review"]), answer_columns(PretrainedConfig(), ["label"])
    (['label', 'probability'], ['label (2)', 'probability'])
    """
    several = [f"probability: {config.id2label[number]}" for number in range(config.num_labels)]
    kinds = {"multi_label_classification": ["label", *several], "regression": ["label"]}
    names = []
    for name in kinds.get(config.problem_type, ["label", "probability"]):
        free = [name, *(f"{name} ({number})" for number in range(2, len(columns) + len(several) + 3))]
        names.append(next(one for one in free if one not in (*columns, *names)))
    return names


def number_words(number: float) -> str:
    """A number with the seven digits that 32 bits hold.

    >>> number_words(4.400000095367432), number_words(3.21e-05), number_words(1234567.0), number_words(12345678.0)
    ('4.4', '3.21e-05', '1234567', '12345680')
    """
    return f"{float(f'{number:.7g}'):.15g}"


def answer_cells(found, config) -> list[tuple[str, ...]]:
    """What goes into those columns for each answer of a predictor."""
    if config.problem_type == "regression":
        return [(number_words(number),) for number in found.labels]
    if config.problem_type == "multi_label_classification":
        apart = not any(";" in name for name in config.id2label.values())
        cells = [";".join(names) if apart else json.dumps(names, ensure_ascii=False) for names in found.labels]
        return [(cell, *(f"{one:.4f}" for one in row)) for cell, row in zip(cells, found.probabilities, strict=True)]
    return [(label, f"{one:.4f}") for label, one in zip(found.labels, found.probabilities.max(axis=1), strict=True)]


def answer_batch(predictor, batch: dict[str, list]) -> list[tuple[str, ...]]:
    """For each row of texts the cells of its answer; they are empty where a text is missing or blank."""
    rows = list(zip(*batch.values(), strict=True))
    good = [number for number, row in enumerate(rows) if all(text and text.strip() for text in row)]
    config = predictor.model.config
    answers = [("",) * len(answer_columns(config, []))] * len(rows)
    if good:
        found = predictor.predict(*zip(*(rows[number] for number in good), strict=True))
        for number, cells in zip(good, answer_cells(found, config), strict=True):
            answers[number] = cells
    return answers


def cell_words(value: object) -> str:
    """A cell of any kind as it is written beside an answer: nothing for a gap; lists, and yes or no, as in JSON.

    Half a character, which no file in UTF-8 can hold, is written as its code.

    >>> [cell_words(value) for value in ("007", 2.5, None, float("nan"), ["a", 1], True)]
    ['007', '2.5', '', '', '["a", 1]', 'true']
    """
    if value is None or (not isinstance(value, str) and pd.api.types.is_scalar(value) and pd.isna(value)):
        return ""
    if isinstance(value, list | tuple | dict | bool | np.bool_):
        value = bool(value) if isinstance(value, np.bool_) else value
        value = json.dumps(value, ensure_ascii=False, default=str)
    said = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    return said if said.isascii() else said.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True)
class Rows:
    """The texts of a table, and the table with the columns that stay beside the answers, under the names they get."""

    texts: Dataset
    table: Dataset | pd.DataFrame
    columns: dict[str, str]  # new names by those in the table
    source: dict

    def beside(self, start: int, stop: int) -> list[tuple[str, ...]]:
        """The cells of some rows that stay beside the answers."""
        names = [*self.columns]
        if isinstance(self.table, pd.DataFrame):
            columns = [self.table[name].iloc[start:stop].tolist() for name in names]
        else:
            part = self.table.with_format("arrow").select_columns(names)[start:stop]
            columns = [self.named(name, shortest(part[name])) for name in names]
        return list(zip(*([cell_words(value) for value in column] for column in columns), strict=True))

    def named(self, column: str, values: list) -> list:
        """Values of a column; numbers that stand for names of labels as these."""
        names = getattr(self.table.features[column], "names", None)
        if not names:
            return values
        return [names[one] if isinstance(one, int) and 0 <= one < len(names) else None for one in values]


def shortest(column) -> list:
    """The values of an Arrow column; numbers of 32 bits with as few digits as tell them apart.

    >>> import pyarrow as pa
    >>> shortest(pa.chunked_array([pa.array([0.1, None], pa.float32())]))
    [np.float32(0.1), None]
    """
    values = column.to_pylist()
    if str(column.type) in ("float", "halffloat"):
        kind = np.float32 if str(column.type) == "float" else np.float16
        return [None if value is None else kind(value) for value in values]
    return values


def line_rows(asked: Asked, work: str) -> tuple[Dataset, dict]:
    """The lines of a file as a table of one column, and where they came from; a blank line is a gap.

    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.txt").write_text("Good, really.\\n\\nBad.\\n")
    ...     line_rows(Asked(TableFile(Path(folder, "a.txt")), ["text"], lines=True), folder)[0]["text"][:]
    ['Good, really.', None, 'Bad.']
    """
    table, source = asked.table, {"name": asked.table.name, "columns": [*asked.columns]}
    path = Path(table.path)
    if len(asked.columns) != 1:
        raise trouble("lines_pairs", given=", ".join(map(repr, asked.columns)))
    if path.is_dir():
        raise trouble("folder", name=str(path))
    if not path.exists():
        raise trouble("no_file", name=str(path))
    if table.sheet is not None:
        raise trouble("no_sheets", name=table.name, given=table.sheet)
    path = unpacked(path, Path(work)) if path.stat().st_size else path
    if not path.stat().st_size:
        raise trouble("empty_file", name=table.name)
    if (kind := kind_of(path)) in ("xlsx", "parquet"):
        raise trouble("lines_table", name=table.name)
    if kind != "text":
        raise no_text(table.name, kind)
    encoding = find_encoding(path, asked.lang, table.encoding)
    with open(path, encoding=encoding) as file:
        lines = ((number, [line.removesuffix("\n")]) for number, line in enumerate(file, 1))
        rows = written(chain([(0, asked.columns)], lines), source, work)
    return rows, source | {"encoding": encoding}


def open_rows(asked: Asked, work: str) -> Rows:
    """The texts that are asked about, and what stays beside their answers; each column once, those kept in front.

    Raises `ValueError`, listing the columns there are, where one is missing.

    >>> table = TableFile("new.csv")
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "new.csv").write_text("id,review\\n7,Good.\\n")
    ...     rows = open_rows(Asked(TableFile(Path(folder, "new.csv")), ["review"], keep=["id"]), folder)
    ...     rows.columns, rows.beside(0, 1)
    ({'id': 'id', 'review': 'review'}, [('7', 'Good.')])
    """
    if len(asked.columns) not in (1, 2):
        raise trouble("text_type", given=repr(asked.columns))
    if len({*asked.columns}) < len(asked.columns):
        raise trouble("same_column", given=asked.columns[0])
    named = [] if ALL in asked.keep else asked.keep
    wanted = [*dict.fromkeys((*asked.columns, *named))]
    if asked.lines:
        with while_reading(asked.table.name, work):
            table, source = line_rows(asked, work)
    else:
        table, source = open_table(asked.table, wanted, asked.lang, work)
    names = [*(table.columns if isinstance(table, pd.DataFrame) else table.column_names)]
    found = dict(zip(wanted, chosen_columns(names, source | {"columns": wanted}), strict=True))
    first = {name: name for name in names} if ALL in asked.keep else {found[name]: name for name in named}
    columns = first | {found[name]: name for name in asked.columns if found[name] not in first}
    source = source | {"columns": [*asked.columns]}
    return Rows(plain_rows(table, source, ("text", "text_pair")[: len(asked.columns)], work), table, columns, source)


@dataclass
class Writer:
    """Writes rows of answers, and counts rows, answers and the cells that it made harmless."""

    file: io.TextIOBase
    raw: bool
    ends: str = "\r\n"
    counts: dict[str, int] = field(default_factory=lambda: {"rows": 0, "answered": 0, "cells": 0})

    def head(self, names: Sequence[str]) -> None:
        """The names of the columns."""
        self.write([*map(str if self.raw else neutral, names)])

    def rows(self, rows: Iterator[tuple[str, ...]]) -> None:
        """Rows, the last cell of which is empty where there is no answer."""
        for row in rows:
            cells = row if self.raw else [neutral(cell) for cell in row]
            self.counts["rows"] += 1
            self.counts["answered"] += bool(row[-1])
            self.counts["cells"] += sum(cell != given for cell, given in zip(cells, row, strict=True))
            self.write(cells)

    def write(self, cells: Sequence[str]) -> None:
        """One line of a CSV."""
        csv.writer(self.file, lineterminator=self.ends).writerow(cells)


def answer_rows(rows: Rows, predictor, writer: Writer, done: int = 0, stop: int | None = None) -> Iterator[int]:
    """Write the answers of all rows from `done` to `stop`, and say after each batch how many it had."""
    if not done:
        names = [*rows.columns.values()]
        writer.head([*names, *answer_columns(predictor.model.config, names)])
    for start in range(done, len(rows.texts) if stop is None else stop, TOGETHER):
        batch = rows.texts[start : start + TOGETHER]
        answers, beside = answer_batch(predictor, batch), rows.beside(start, start + TOGETHER)
        writer.rows((*cells, *answer) for cells, answer in zip(beside, answers, strict=True))
        yield len(answers)


def part_of(out: Path, model: Path, asked: Asked, content: str | None = None) -> Path:
    """Where the answers go until all are there: for the same call, and the same in model and table, the same file.

    What came through a pipe is told by its `content`. `ValueError` where model or table cannot be read.
    """
    try:
        read = bytes_hash(model)
    except OSError as error:
        raise trouble("no_model", given=str(model), reason=reason(error)) from error
    table = [content] if content else [str(asked.table.path), content_hash(asked.table)]
    how = [asked.columns, asked.keep, asked.lines, asked.raw, asked.lang, asked.table.encoding, asked.table.sheet]
    call = json.dumps([str(model), read, table, how, asked.how])
    return out.with_name(f".{out.name}.{hashlib.sha256(call.encode()).hexdigest()[:8]}.part")


def progress(part: Path) -> dict[str, int]:
    """How far an earlier run came: counts of rows, answers and harmless cells, and the length of the file then."""
    try:
        counts = json.loads(part.with_suffix(".json").read_text(encoding="utf-8"))
        return counts if part.stat().st_size >= counts["bytes"] else {}
    except (OSError, ValueError):
        return {}


def note_progress(part: Path, counts: dict[str, int]) -> None:
    """Keep the counts beside the part, whole or not at all."""
    with written_whole(part.with_suffix(".json")) as fresh:
        fresh.write_text(json.dumps(counts), encoding="utf-8")


def clear(part: Path) -> None:
    """Take away all that an unfinished run keeps."""
    drop(part)
    part.with_suffix(".precision").unlink(missing_ok=True)
    shutil.rmtree(part.with_suffix(".shards"), ignore_errors=True)


def shard_of(part: Path, start: int) -> Path:
    """Where the answers of one shard go, `TOGETHER` rows from `start` on, until they join the others.

    >>> shard_of(Path(".a.csv.0f.part"), 1000).as_posix()
    '.a.csv.0f.shards/000000001000.part'
    """
    return part.with_suffix(".shards") / f"{start:012}.part"


def answer_shard(path: Path, start: int, rows: Rows, predictor, raw: bool) -> None:
    """Write the answers of one shard; what is noted beside it tells that it is whole."""
    with open(path, "w", encoding="utf-8" if start else "utf-8-sig", newline="") as file:
        writer = Writer(file, raw)
        for _ in answer_rows(rows, predictor, writer, start, min(start + TOGETHER, len(rows.texts))):
            file.flush()
        note_progress(path, writer.counts | {"bytes": file.buffer.tell()})


def join(part: Path) -> dict[str, int]:
    """Bring the shards that are whole into the one file, in order, up to the first that is missing.

    Returns what is in the file then: rows, answers, harmless cells and bytes. It is noted after each shard.
    """
    counts = {"rows": 0, "answered": 0, "cells": 0, "bytes": 0} | progress(part)
    while found := progress(shard := shard_of(part, counts["rows"])):
        with open(part, "ab") as file, open(shard, "rb") as source:
            file.truncate(counts["bytes"])
            file.write(source.read(found["bytes"]))
        counts = {name: counts[name] + found[name] for name in counts}
        note_progress(part, counts)
        drop(shard)
    return counts


def anything(part: Path) -> bool:
    """Whether there are answers to keep, in the one file or in shards."""
    return bool(progress(part)) or any(map(progress, part.with_suffix(".shards").glob("*.part")))


def drop(part: Path) -> None:
    """Take away a file of answers that is no longer needed, and what is noted beside it."""
    for suffix in (".json", ".part"):
        part.with_suffix(suffix).unlink(missing_ok=True)


def make_bar(rows: Rows, done: int = 0):
    """A progress bar, on the error output, where that is a terminal."""
    from tqdm.auto import tqdm

    unit = f" {message(language(), 'cli', 'predicting')}"
    return tqdm(initial=done, total=len(rows.texts), unit=unit, disable=not in_terminal())


def settled(part: Path) -> str | None:
    """The precision that is noted beside the part, if any."""
    note = part.with_suffix(".precision")
    return note.read_text(encoding="utf-8") if note.exists() else None


def settle(part: Path, rows: Rows, predictor) -> str:
    """The precision of a predictor. "auto" is decided with the first texts, and noted beside the part.

    So all rows of a file are answered in the same precision, in whatever processes, and by whoever goes on.
    """
    if predictor.precision != "auto":
        return predictor.precision
    if found := settled(part):
        predictor.precision = found
    else:
        for start in range(0, len(rows.texts), predictor.batch_size):
            answer_batch(predictor, rows.texts[start : start + predictor.batch_size])
            if predictor.precision != "auto":
                break
        with written_whole(part.with_suffix(".precision")) as fresh:
            fresh.write_text(predictor.precision, encoding="utf-8")
    return predictor.precision


def write_answers(part: Path, rows: Rows, predictor, raw: bool) -> dict[str, int]:
    """Write the answers for all rows to a CSV, some at a time, after those that are there; returns the counts."""
    settle(part, rows, predictor)
    before = join(part)
    done = before["rows"]
    if done:
        os.truncate(part, before["bytes"])
    with open(part, "a" if done else "w", encoding="utf-8-sig", newline="") as file, make_bar(rows, done) as bar:
        writer = Writer(file, raw)
        writer.counts |= {name: before[name] for name in writer.counts if name in before}
        for count in answer_rows(rows, predictor, writer, done):
            file.flush()
            note_progress(part, writer.counts | {"bytes": file.buffer.tell()})
            bar.update(count)
    return writer.counts


def spooled(stream: io.BufferedIOBase, folder: Path) -> tuple[Path, str]:
    """A file with all that comes through a pipe, and the hash of its content.

    >>> with TemporaryDirectory() as folder:
    ...     spooled(io.BytesIO(b"review\\nGood.\\n"), Path(folder))[0].name
    'stdin.txt'
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, digest = folder / "stdin.txt", hashlib.sha256()
    with open(target, "wb") as file:
        while block := stream.read(1 << 20):
            digest.update(block)
            file.write(block)
    return target, digest.hexdigest()


def from_pipe(asked: Asked, folder: Path) -> tuple[Asked, str | None]:
    """The same with the table in a file, where it comes through standard input; and then the hash of its content."""
    if str(asked.table.path) != PIPE:
        return asked, None
    path, content = spooled(getattr(sys.stdin, "buffer", io.BytesIO()), folder)  # where there is no input, an empty one
    table = TableFile(path, asked.table.encoding, asked.table.sheet)
    return Asked(**(vars(asked) | {"table": table})), content


def check_out(out: Path, table: Path) -> None:
    """Make sure that answers to a table may be written to a file of this name; a `ValueError` says why not.

    >>> check_out(Path("answers.xlsx"), Path("new.csv"))
    Traceback (most recent call last):
    ValueError: answers are written as CSV, and 'answers.xlsx' would not open as what its name says; ...
    """
    if out.is_dir():
        raise trouble("answers_folder", name=str(out), example=str(out / "answers.csv"))
    if out.suffix.lower() in NOT_CSV:
        raise trouble("answers_suffix", name=str(out))
    if out.exists() and table.exists() and os.path.samefile(out, table):
        raise trouble("answers_table", name=str(out))


def answers_to_file(
    load: Callable, model: Path, asked: Asked, out: Path, in_shards: Callable | None = None
) -> tuple[dict[str, int], dict]:
    """Write the answers into a new file, and return the counts and where the table came from. `load` makes a predictor.

    What is written of them stays, where the work is stopped: the same call goes on from there. `in_shards` is what
    writes in several processes, `ftcourse.engine.shards.write_shards` with their number.
    """
    check_texts(model, asked.columns)
    with only_file(out):
        return written_answers(load, model, asked, out, in_shards)


def written_answers(
    load: Callable, model: Path, asked: Asked, out: Path, in_shards: Callable | None
) -> tuple[dict[str, int], dict]:
    """The same, where nobody else writes to the file."""
    part, work = None, out.with_name(f".{out.name}.work")
    try:
        asked, content = from_pipe(asked, work)
        part = part_of(out, model, asked, content)
        part.touch()
        with quiet_libraries():
            rows = open_rows(asked, str(work))
            if in_shards:
                counts = in_shards(part, rows, load, model, asked, folder=str(work))
            else:
                counts = write_answers(part, rows, load(model, **asked.how), asked.raw)
            os.replace(part, out)
        clear(part)
    except OSError as error:
        values = {"name": str(out), "reason": reason(error)}
        kept = f" {message(language(), 'cli', 'kept')}" if part and anything(part) else ""
        raise OSError(message(language(), "cli", "cannot_write", **values) + kept) from error
    finally:
        with suppress(OSError):
            if part and not anything(part):
                clear(part)
        remove(work)
    return counts, rows.source


def answers_to_pipe(
    load: Callable, model: Path, asked: Asked, stream: io.BufferedIOBase
) -> tuple[dict[str, int], dict] | None:
    """Write the answers to a binary stream, in UTF-8 with plain line ends; None where nobody reads on."""
    check_texts(model, asked.columns)
    with TemporaryDirectory(prefix="ftcourse-", ignore_cleanup_errors=True) as work, quiet_libraries():
        asked, _ = from_pipe(asked, Path(work))
        rows = open_rows(asked, work)
        predictor = load(model, **asked.how)
        file = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        try:
            writer = Writer(file, asked.raw, ends="\n")
            with make_bar(rows) as bar:
                for count in answer_rows(rows, predictor, writer):
                    file.flush()
                    bar.update(count)
            return writer.counts, rows.source
        except OSError as error:
            if is_closed(error):
                return None
            values = {"name": PIPE, "reason": reason(error)}
            raise OSError(message(language(), "cli", "cannot_write", **values)) from error
        finally:
            with suppress(OSError, ValueError):
                file.detach()


def is_closed(error: OSError) -> bool:
    """Whether an error says that nobody reads a pipe any more; Windows has another one for that.

    >>> is_closed(BrokenPipeError(32, "Broken pipe")), is_closed(OSError(28, "No space left on device"))
    (True, False)
    """
    return isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == 22)

"""What is in a table, a file or a folder, as a hash: the same in every process, another one after any change."""

import hashlib
import json
from pathlib import Path

import pandas as pd
from datasets import Dataset

from ftcourse.engine.folders import reason
from ftcourse.engine.messages import trouble
from ftcourse.engine.tables import TableFile

AT_ONCE = 10_000  # rows that are hashed at a time


def bytes_hash(path: str | Path) -> str | None:
    """A hash of a file's bytes, or of the files in a folder and their names; None where there is neither.

    Hidden files of a folder do not count. 1 GB takes a second or less.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text("text")
    ...     bytes_hash(Path(folder, "a.csv"))[:6], bytes_hash(folder)[:6]
    ('982d9e', '62f27c')
    """
    path = Path(path)
    if path.is_file():
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if not path.is_dir():
        return None
    files = sorted(file for file in path.rglob("*") if file.is_file())
    names = [file.relative_to(path) for file in files]
    found = {
        name.as_posix(): bytes_hash(path / name) for name in names if not any(p.startswith(".") for p in name.parts)
    }
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def plain_cell(value: object) -> object:
    """What JSON writes for a cell that it does not know: the same in every process, also for a set.

    >>> plain_cell({"b", "a"}), plain_cell(pd.Timestamp("2024-01-01"))
    (['a', 'b'], '2024-01-01 00:00:00')
    """
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if hasattr(value, "tolist"):
        return value.tolist()
    return bytes(value).hex() if isinstance(value, bytes | bytearray | memoryview) else str(value)


def rows_hash(table: pd.DataFrame | Dataset) -> str:
    """A hash of the values in a table, with the names of its columns, in their order.

    >>> rows_hash(pd.DataFrame({"text": ["Good."]}))[:6]
    '2076ac'
    """
    digest = hashlib.sha256()
    if isinstance(table, Dataset):
        table = table.with_format("arrow")
        batches = (table[start : start + AT_ONCE].to_pydict() for start in range(0, len(table), AT_ONCE))
        columns = table.column_names
    else:
        parts = (table.iloc[start : start + AT_ONCE] for start in range(0, len(table), AT_ONCE))
        batches = ({n: part.iloc[:, n].tolist() for n in range(part.shape[1])} for part in parts)
        columns = [*map(str, table.columns)]
    digest.update(json.dumps(columns).encode())
    for batch in batches:
        try:
            said = json.dumps([*batch.values()], default=plain_cell)
        except (TypeError, ValueError, RecursionError):  # cells that whoever reads the table refuses
            said = ascii(batch)
        digest.update(said.encode())
    return digest.hexdigest()


def content_hash(table: object) -> str | None:
    """A hash of what a table holds: of a file's bytes, of the values of a data frame or data set; None for no table.

    `ValueError` where a file cannot be read.

    >>> frame = pd.DataFrame({"text": ["Good.", None], "stars": [5, 1]})
    >>> content_hash(frame) == content_hash(frame.copy()) != content_hash(frame.assign(stars=[5, 2]))
    True
    """
    if isinstance(table, pd.DataFrame | Dataset):
        return rows_hash(table)
    path = table.path if isinstance(table, TableFile) else table
    if not isinstance(path, str | Path) or Path(path).is_dir():
        return None  # whoever reads it says so
    try:
        return bytes_hash(path)
    except OSError as error:
        raise trouble("unreadable", name=Path(path).name, reason=reason(error)) from error

"""Tables in JSON, in whichever of its many forms: a record a line, a list of records, columns, nested ones."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from ftcourse.engine.messages import trouble
from ftcourse.engine.names import has_columns, matches

DEEP = 5  # how far down a table may lie


def flat(record: dict, prefix: str = "") -> dict:
    """A record with what lies in other records under names with dots.

    >>> flat({"review": {"text": "Good.", "lang": "en"}, "stars": 5})
    {'review.text': 'Good.', 'review.lang': 'en', 'stars': 5}
    """
    found = {}
    for key, value in record.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return found


def by_columns(found: list[dict]) -> dict[str, list]:
    """The values of records by column, None where a record has none.

    >>> by_columns([{"a": 1}, {"a": 2, "b": 3}])
    {'a': [1, 2], 'b': [None, 3]}
    """
    names = dict.fromkeys(name for record in found for name in record)
    return {name: [record.get(name) for record in found] for name in names}


def is_records(value: object) -> bool:
    """Whether something is a list of records.

    >>> is_records([{"a": 1}]), is_records([1]), is_records([])
    (True, False, False)
    """
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def table_in(value: object, columns: Sequence[str], depth: int = 0) -> list[dict[str, list]]:
    """The tables in what a JSON file holds, as values by column: all that can be found, the likeliest form first.

    >>> table_in({"data": [{"text": "Good."}]}, ["text"])
    [{'text': ['Good.']}]
    >>> table_in({"text": {"0": "Good.", "1": "Bad."}}, ["text"])
    [{'text': ['Good.', 'Bad.']}]
    """
    if is_records(value):
        return [by_columns([flat(record) for record in value])]
    if isinstance(value, list) and value and all(isinstance(row, list) for row in value):
        names, rows = [str(name) for name in value[0]], value[1:]
        longer = any(cell is not None for row in rows for cell in row[len(names) :])
        if not rows or longer or any(len(matches(names, column)) > 1 for column in columns):
            return []
        return [by_columns([dict(zip(names, row, strict=False)) for row in rows])]
    if not isinstance(value, dict) or depth > DEEP:
        return []
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return table_in([value["columns"], *value["data"]], columns)
    parts = [*value.values()]
    sizes = {len(part) for part in parts if isinstance(part, list | dict)}
    if parts and len(sizes) == 1 and all(isinstance(part, list) and not is_records(part) for part in parts):
        return [{**value}]
    if parts and all(isinstance(part, dict) for part in parts):
        if has_columns([*value], columns):
            keys = dict.fromkeys(key for part in parts for key in part)
            return [{name: [part.get(key) for key in keys] for name, part in value.items()}]
        found = by_columns([flat(part) for part in parts])
        if has_columns([*found], columns):
            return [found]
    if has_columns([*flat(value)], columns):
        return [by_columns([flat(value)])]
    return [table for part in parts if isinstance(part, dict | list) for table in table_in(part, columns, depth + 1)]


def json_lines(lines: Iterable[str], name: str) -> Iterator[dict]:
    """The records of a file with one a line; a `ValueError` names the line that is none.

    >>> [*json_lines(['{"a": 1}', "", '{"a": {"b": 2}}'], "a.jsonl")]
    [{'a': 1}, {'a.b': 2}]
    """
    for number, line in enumerate(lines, start=1):
        line = (line.lstrip("\ufeff") if number == 1 else line).rstrip("\n")
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise trouble("json", name=name, line=number, column=getattr(error, "colno", 1)) from None
        if not isinstance(record, dict):
            raise trouble("json_shape", name=name)
        yield flat(record)


KINDS = {"str": pa.string(), "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}
LISTS = {"list of str": pa.list_(pa.string())}


def kind_of_value(value: object) -> str:
    """What a value is, for a column that keeps such values as they are; "other" where none does.

    >>> kind_of_value(4.5), kind_of_value(["food"]), kind_of_value({}), kind_of_value(2**60)
    ('float', 'list of str', 'other', 'other')
    """
    kind = type(value).__name__
    if kind == "int" and abs(value) > 2**53:
        return "other"
    if kind == "list" and value and all(isinstance(part, str) for part in value):
        return "list of str"
    return kind if kind in KINDS else "other"


def lines_schema(records: Iterable[dict]) -> pa.Schema | None:
    """The columns of records, each of one kind; None where one has values of several kinds, which Arrow does not keep.

    >>> lines_schema([{"text": "Good.", "stars": 5}, {"text": None, "stars": 4.5}])
    text: string
    stars: double
    >>> lines_schema([{"stars": 5}, {"stars": "5"}])
    """
    kinds = {}
    for record in records:
        for name, value in record.items():
            found = kinds.setdefault(name, set())
            if value is not None:
                found.add(kind_of_value(value))
    types = {}
    for name, found in kinds.items():
        kind = "float" if found == {"int", "float"} else min(found, default="str")
        types[name] = (KINDS | LISTS).get(kind) if len(found) < 2 or found == {"int", "float"} else None
    return None if None in types.values() else pa.schema(types)


def has_lines(path: Path, encoding: str) -> bool:
    """Whether a file has a record on its first line, and another line.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.jsonl").write_text('{"text": "Good."}\\n{"text": "Bad."}\\n')
    ...     has_lines(Path(folder, "a.jsonl"), "utf-8")
    True
    """
    with open(path, encoding=encoding) as file:
        filled = (line for line in file if line.strip("\ufeff \t\r\n"))
        return first_record(next(filled, "") + next(filled, ""))


def first_record(text: str) -> bool:
    """Whether the first line is a record of its own, and another line follows.

    >>> first_record('{"a": 1}\\n{"a": 2}\\n'), first_record('{\\n"a": 1}')
    (True, False)
    """
    line, _, rest = text.lstrip("\ufeff \t\r\n").partition("\n")
    if not line.startswith("{") or not rest.strip():
        return False
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def json_table(path: Path, encoding: str, name: str, columns: Sequence[str]) -> dict[str, list]:
    """The values of the table in a JSON file, by column.

    Raises `ValueError` with line and column for what is no JSON, and where there is no table, or more than one.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.json").write_text('{"text": ["Good."], "stars": [5]}')
    ...     json_table(Path(folder, "a.json"), "utf-8", "a.json", ["text"])
    {'text': ['Good.'], 'stars': [5]}
    """
    text = path.read_text(encoding=encoding).lstrip("\ufeff")
    if first_record(text):
        return by_columns([*json_lines(text.split("\n"), name)])
    try:
        tables = table_in(json.loads(text), columns)
    except json.JSONDecodeError as error:
        raise trouble("json", name=name, line=error.lineno, column=error.colno) from None
    except RecursionError:
        raise trouble("json_shape", name=name) from None
    fitting = [table for table in tables if has_columns([*table], columns)] or tables
    if not fitting:
        raise trouble("json_shape", name=name)
    if len(fitting) > 1:
        raise trouble("json_tables", name=name, count=len(fitting))
    return fitting[0]

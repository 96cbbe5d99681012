"""How the texts that were written for the kit are read: tab-separated, with a header, and nothing quoted."""

from pathlib import Path


def read_table(path: Path, columns: list[str]) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """The lines that have a field for every column, each with its place, and what is wrong with the others."""
    head, *lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    if head.split("\t") != columns:
        return [], [f"{path.name}:1: the header is {head.split(chr(9))}, expected {columns}"]
    whole, wrong = [], []
    for number, line in enumerate(lines, 2):
        where, fields = f"{path.name}:{number}", line.split("\t")
        if len(fields) != len(columns):
            wrong.append(f"{where}: {len(fields)} fields, expected {len(columns)}: is there a tab in the text?")
        elif bare := [name for name, field in zip(columns, fields, strict=True) if field.strip() != field or not field]:
            wrong.append(f"{where}: {bare[0]} is empty, or begins or ends with a blank")
        else:
            whole.append((where, fields))
    return whole, wrong


def read_whole_table(path: Path, columns: list[str]) -> list[tuple[str, list[str]]]:
    """All lines of a file, each with its place. A line that has not a field for every column is a `ValueError`."""
    whole, wrong = read_table(path, columns)
    if wrong:
        raise ValueError(wrong[0])
    return whole

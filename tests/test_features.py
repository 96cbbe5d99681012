"""What the course promises to walk through, row by row: `features.tsv` says in which cell, and what that cell calls."""

import ast
import csv
from functools import cache
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tools.settings import chapters, notebook

FEATURES = Path(__file__).with_name("features.tsv")
ROWS = list(csv.DictReader(FEATURES.read_text(encoding="utf-8").splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


@cache
def code(chapter: str) -> dict[str, str]:
    """The source of each code cell of a chapter, by id."""
    nb = nbformat.read(notebook("en", chapter), as_version=4)
    return {cell.id: cell.source for cell in nb.cells if cell.cell_type == "code"}


def names(source: str) -> set[str]:
    """Every name, attribute, keyword argument and string in the code."""
    nodes = list(ast.walk(ast.parse(TransformerManager().transform_cell(source))))
    fields = [getattr(node, field, None) for node in nodes for field in ("id", "attr", "arg", "name", "value")]
    return {field for field in fields if isinstance(field, str)}


def missing(row: dict, cells: dict[str, str]) -> set[str]:
    """What the row names and its cell does not call; everything where there is no such cell."""
    return set(row["calls"].split()) - names(cells.get(row["cell"], ""))


def test_there_are_rows_for_every_chapter():
    assert len({row["feature"] for row in ROWS}) >= 40
    assert {row["chapter"] for row in ROWS} == set(chapters())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['chapter']}-{row['cell']}")
def test_the_cell_calls_what_the_row_names(row):
    assert row["calls"].split()
    assert not missing(row, code(row["chapter"])), row["feature"]


def test_a_cell_that_is_gone_or_changed_is_found():
    row = ROWS[0]
    cells = dict(code(row["chapter"]))
    assert missing(row, {**cells, row["cell"]: "1 + 1"}) == set(row["calls"].split())
    del cells[row["cell"]]
    assert missing(row, cells) == set(row["calls"].split())

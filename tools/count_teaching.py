"""Which code lines of a chapter teach. `python -m tools.count_teaching [--chapter 05_trainer]`

Without a chapter: a line each, with the share of its code lines that teach and the number of lines it exports. With
one: every code line and its class. A line teaches unless it belongs to a statement that only does one of these:

- imports: `import`, `from ... import`;
- validates: `assert`, `raise`, an `if` with nothing but those in it, a call of `check_...` or of a name in VALIDATES;
- types: such an `if` that asks for a type (TYPE_TESTS), a bare annotation, a type alias;
- formats: `print`, a bare f-string, a call that styles a picture or a table (FORMATS);
- quiets: a call that switches warnings, logs or progress bars off or on (QUIETS), and the `with` around others;
- catches: `try`, `except` with what is under it, `finally`, `with suppress(...)`.

Blank lines, comments and docstrings are no code lines.
"""

import argparse
import ast
import re
import sys
from collections import Counter
from dataclasses import dataclass

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from tools.settings import chapters, notebook

CLASSES = ("teaches", "imports", "validates", "formats", "quiets", "types", "catches")
VALIDATES = {"assert_allclose", "assert_close", "assert_equal", "require", "validate"}
TYPE_TESTS = {"isinstance", "issubclass", "callable", "hasattr", "type", "is_tensor"}
TYPES = {"TypeVar", "NewType", "ParamSpec", "TypeAlias"}
FORMATS = {
    *(
        "print",
        "pprint",
        "display",
        "format",
        "set",
        "set_title",
        "set_xlabel",
        "set_ylabel",
        "set_xticks",
        "set_yticks",
    ),
    *(
        "set_xlim",
        "set_ylim",
        "set_xscale",
        "set_yscale",
        "set_xticklabels",
        "set_yticklabels",
        "tick_params",
        "margins",
    ),
    *("title", "suptitle", "xlabel", "ylabel", "xticks", "yticks", "xlim", "ylim", "legend", "grid", "tight_layout"),
    *("colorbar", "axis", "annotate", "spines", "invert_yaxis", "subplots_adjust", "set_option", "set_visible"),
}
QUIETS = {
    *("set_verbosity", "set_verbosity_error", "set_verbosity_warning", "set_verbosity_info", "filterwarnings"),
    *("disable_progress_bar", "disable_progress_bars", "enable_progress_bar", "enable_progress_bars", "simplefilter"),
    *("catch_warnings", "captureWarnings", "disable_default_handler", "setLevel", "redirect_stdout", "redirect_stderr"),
    *("quiet", "disable_caching"),
}
BLOCKS = ("body", "orelse", "finalbody")


@dataclass(frozen=True)
class Line:
    """A code line of a notebook, and what it is there for."""

    cell: str
    kind: str
    text: str


def called(node: ast.AST) -> str:
    """The last part of the name that an expression calls, if it is a call.

    >>> called(ast.parse("plt.title('a')", mode="eval").body)
    'title'
    """
    if isinstance(node, ast.Await):
        node = node.value
    function = node.func if isinstance(node, ast.Call) else None
    return getattr(function, "attr", getattr(function, "id", ""))


def of_call(name: str) -> str:
    """The class of a statement that only calls this name."""
    for names, kind in ((QUIETS, "quiets"), (FORMATS, "formats"), (VALIDATES, "validates")):
        if name in names:
            return kind
    return "validates" if name.startswith("check_") else "teaches"


def guards(node: ast.stmt) -> bool:
    """Whether a statement only looks for what is wrong."""
    return isinstance(node, (ast.Assert, ast.Raise)) or (
        isinstance(node, ast.If) and all(map(guards, [*node.body, *node.orelse]))
    )


def is_text(node: ast.expr) -> bool:
    """Whether an expression only puts a text together from values."""
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return all(isinstance(part, ast.JoinedStr) or called(part) == "format" for part in parts)


def kind_of(node: ast.stmt) -> str:
    """The class of a statement, or of the header of a compound one."""
    match node:
        case ast.Import() | ast.ImportFrom():
            return "imports"
        case ast.If() if guards(node):
            tests = {called(part) for part in ast.walk(node.test)}
            return "types" if tests & TYPE_TESTS else "validates"
        case ast.Assert() | ast.Raise():
            return "validates"
        case ast.AnnAssign(value=None):
            return "types"
        case ast.Assign(value=value) if called(value) in TYPES:
            return "types"
        case ast.Try():
            return "catches"
        case ast.With(items=items) if {called(item.context_expr) for item in items} <= QUIETS:
            return "quiets"
        case ast.With(items=items) if {called(item.context_expr) for item in items} <= {"suppress"}:
            return "catches"
        case ast.Expr(value=value) if is_text(value):
            return "formats"
        case ast.Expr(value=value):
            return of_call(called(value))
    return "types" if type(node).__name__ == "TypeAlias" else "teaches"


def is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def paint(node: ast.stmt, kinds: dict[int, str]) -> None:
    """Gives each line of a statement its class: first the header's for all, then those of the statements inside."""
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
    kind = "" if is_docstring(node) else kind_of(node)
    kinds |= dict.fromkeys(range(first, node.end_lineno + 1), kind)
    if isinstance(node, ast.If) and kind != "teaches":
        return
    inner = [child for block in BLOCKS for child in getattr(node, block, [])]
    inner += [child for case in getattr(node, "cases", []) for child in case.body]
    for child in inner:
        paint(child, kinds)


def code_lines(cell: nbformat.NotebookNode) -> list[Line]:
    """The code lines of a cell, each with its class."""
    source = TransformerManager().transform_cell(cell.source)
    kinds: dict[int, str] = {}
    for node in ast.parse(source).body:
        paint(node, kinds)
    texts = enumerate(source.splitlines(), 1)
    return [
        Line(cell.id, kinds[number], text)
        for number, text in texts
        if kinds.get(number) and text.strip() and not text.lstrip().startswith("#")
    ]


def chapter_lines(nb: nbformat.NotebookNode) -> list[Line]:
    return [line for cell in nb.cells if cell.cell_type == "code" for line in code_lines(cell)]


def share_that_teaches(lines: list[Line]) -> float:
    """
    >>> share_that_teaches([Line("a", "teaches", "x = 1"), Line("a", "validates", "assert x")])
    0.5
    """
    return sum(line.kind == "teaches" for line in lines) / len(lines) if lines else 1.0


def exported_lines(nb: nbformat.NotebookNode) -> int:
    """How many lines a chapter exports: without blank lines, comments, docstrings and imports."""
    cells = [cell for cell in nb.cells if cell.cell_type == "code" and re.search(r"^#\| *export", cell.source, re.M)]
    return sum(line.kind != "imports" for cell in cells for line in code_lines(cell))


def table(books: dict[str, nbformat.NotebookNode]) -> str:
    lines = [f"{'chapter':14} lines  teach  exports  {'  '.join(CLASSES[1:])}"]
    for chapter, nb in books.items():
        found = chapter_lines(nb)
        counts = Counter(line.kind for line in found)
        others = "  ".join(f"{counts[kind]:{len(kind)}}" for kind in CLASSES[1:])
        lines.append(f"{chapter:14} {len(found):5}  {share_that_teaches(found):5.0%}  {exported_lines(nb):7}  {others}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Count the code lines that teach.")
    parser.add_argument("--chapter", default="", help="one chapter, line by line, e.g. 05_trainer")
    options = parser.parse_args(arguments)
    try:
        paths = {name: notebook("en", name) for name in ([options.chapter] if options.chapter else chapters())}
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    books = {name: nbformat.read(path, as_version=4) for name, path in paths.items()}
    for line in chapter_lines(books[options.chapter]) if options.chapter else []:
        print(f"{line.cell:20} {line.kind:9} {line.text}")
    print(table(books))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a language may have of its own: prose that looks at the screen (tag `own`), and examples (tag `examples`).

Own prose may have other numbers, tokens and examples than the English. Its code spans that name API stay the same, and
all others, like its numbers, stand in a stored output above it. A cell of examples only assigns strings to names.
"""

import ast
import html
import keyword
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from tools.markdown import CODE, FENCE, LINK, MATH, TAG, unwrap_rtl

OWN, EXAMPLES = "own", "examples"
NUMBER = re.compile(r"(?<![A-Za-z_\d])\d{1,3}(?:,\d{3})+(?!\d)|(?<![A-Za-z_\d])\d+(?:\.\d+)?")
ANY_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?!\d)|\d+(?:\.\d+)?(?:e[-+]?\d+)?")
LIST_NUMBER = re.compile(r"^[ >]*\d+[.)] ", re.M)
LINKED = re.compile(r"!?\[[^\]]*\]\([^)]*\)")
CONTAINERS = {ast.List: "list", ast.Tuple: "tuple", ast.Dict: "dict"}


def tagged(cell: nbformat.NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def code_nodes(cells: Iterable[nbformat.NotebookNode]) -> Iterator[ast.AST]:
    """The nodes of all code cells that are Python."""
    for cell in cells:
        if cell.cell_type == "code":
            with suppress(SyntaxError):
                yield from ast.walk(ast.parse(TransformerManager().transform_cell(cell.source)))


def code_names(nb: nbformat.NotebookNode) -> set[str]:
    """Every name that stands in a code cell: variables, functions, attributes, arguments, modules."""
    names: set[str] = set()
    for node in code_nodes(nb.cells):
        texts = [getattr(node, field, None) for field in ("id", "attr", "arg", "name", "asname", "module")]
        names |= {part for text in texts if isinstance(text, str) for part in text.split(".")}
    return names


def asked_for(nb: nbformat.NotebookNode) -> set[str]:
    """The names of things that code asks for, as in `kit.model("stars")`, and the keys of its dictionaries.

    >>> cell = nbformat.v4.new_code_cell('kit.model("stars"), {"top_k": 3}, "tasty"')
    >>> sorted(asked_for(nbformat.v4.new_notebook(cells=[cell])))
    ['stars', 'top_k']
    """
    names: set[str] = set()
    for node in code_nodes(cell for cell in nb.cells if not tagged(cell, EXAMPLES)):
        asked = node.args if isinstance(node, ast.Call) else node.keys if isinstance(node, ast.Dict) else []
        strings = [value.value for value in asked if isinstance(value, ast.Constant)]
        names |= {text for text in strings if isinstance(text, str) and text.isidentifier()}
    return names


def names_api(span: str, names: set[str]) -> bool:
    """Whether a code span is a Python name, call, argument or keyword, and not something that stands on the screen.

    >>> [names_api(span, {"model", "lr"}) for span in ("model.train()", "lr=1e-3", "None", "[MASK]", "0.5", "tasty")]
    [True, True, True, False, False, False]
    """
    if keyword.iskeyword(span.strip()):
        return True
    for before, after in (("", ""), ("f(", ")")):  # as it is, or as an argument
        try:
            tree = ast.parse(f"{before}{span.strip()}{after}", mode="eval").body
        except (SyntaxError, ValueError):
            continue
        parts = [*tree.args, *tree.keywords] if before else [tree]
        nodes = [node for part in parts for node in ast.walk(part)]
        return any({getattr(node, field, None) for field in ("id", "attr", "arg")} & names for node in nodes)
    return False


def spans(text: str) -> list[str]:
    """Code spans of a prose cell, without blocks of code.

    >>> spans("See `a` and <code>b</code>.")
    ['a', 'b']
    """
    return [match["body"] or match["html"] for match in CODE.finditer(FENCE.sub("", unwrap_rtl(text)))]


def api_spans(text: str, names: set[str]) -> set[str]:
    return {span for span in spans(text) if names_api(span, names)}


def shown(cell: nbformat.NotebookNode) -> str:
    """The text that a code cell's stored outputs show."""
    texts = []
    for output in cell.get("outputs", []):
        texts.append(output.get("text", ""))
        for kind, text in output.get("data", {}).items():
            if kind == "text/html":
                texts.append(html.unescape(re.sub(r"<style.*?</style>|<[^>]+>", " ", text, flags=re.S)))
            elif kind.startswith("text/"):
                texts.append(text)
    return "\n".join(texts)


def stands(number: str, percent: bool, found: list[float]) -> bool:
    """Whether a number of the prose is one of those found, rounded.

    >>> stands("0.82", False, [0.8234]), stands("82", True, [0.8234]), stands("0.83", False, [0.8234])
    (True, True, False)
    """
    value, decimals = float(number.replace(",", "")), len(number.partition(".")[2])
    half = 0.5 * 10**-decimals + 1e-9
    return any(abs(one - value) <= half or (percent and abs(100 * one - value) <= half) for one in found)


def ungrounded(nb: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """Cells of own prose, each with what it says is on the screen and is not: in no stored output above it."""
    names, above, notes = code_names(nb) | asked_for(nb), "", []
    for cell in nb.cells:
        if cell.cell_type == "code":
            above += "\n" + shown(cell)
        elif tagged(cell, OWN):
            missing = missing_numbers(cell.source, above) + missing_spans(cell.source, above, names)
            if missing:
                notes.append((cell.id, f"in no stored output above it: {', '.join(missing)}"))
    return notes


def missing_spans(text: str, above: str, names: set[str]) -> list[str]:
    above = " ".join(above.split())
    quoted = [span for span in spans(text) if not names_api(span, names)]
    return [f"`{span}`" for span in quoted if " ".join(span.split()).strip("'\"") not in above]


def missing_numbers(text: str, above: str) -> list[str]:
    """Numbers in digits of the prose that no output shows; those of lists, links, names and formulas are free.

    >>> missing_numbers("1. In `f` 7 of 2,000, 9% and F1.", "2000 0.0911")
    ['7']
    """
    found = [float(number.replace(",", "")) for number in ANY_NUMBER.findall(above)]
    text = LIST_NUMBER.sub("", unwrap_rtl(text))
    for pattern in (FENCE, CODE, LINKED, LINK, MATH, TAG):
        text = pattern.sub(" ", text)
    matches = [(match[0], bool(re.match(r"\s*[%％٪]", text[match.end() :]))) for match in NUMBER.finditer(text)]
    return [number + "%" * percent for number, percent in matches if not stands(number, percent, found)]


def examples(source: str) -> dict[str, str]:
    """The names that a cell of examples assigns, each with the kind of its value.

    Raises `ValueError`, saying what to do, where the cell does anything else.

    >>> examples('text = "good"; pairs = [("a", "b")]')
    {'text': 'str', 'pairs': 'list'}
    """
    advice = "a cell tagged examples only assigns strings, or lists, tuples or dicts of strings, to names"
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise ValueError(f"{advice}; line {error.lineno} is no Python") from None
    found = {}
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if only_strings(value):
                found[name] = CONTAINERS.get(type(value), "str")
            case _:
                raise ValueError(f"{advice}; line {statement.lineno} does more: move it to a cell of its own")
    return found


def only_strings(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=value):
            return isinstance(value, str)
        case ast.List(elts=values) | ast.Tuple(elts=values):
            return all(map(only_strings, values))
        case ast.Dict(keys=keys, values=values):
            return all(key is not None and only_strings(key) for key in keys) and all(map(only_strings, values))
    return False

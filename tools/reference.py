"""The package's reference as pages: what each lesson's module offers, from signatures and docstrings, read, not run."""

import ast
import re
from html import escape
from typing import NamedTuple

import griffe
from markdown_it import MarkdownIt

from tools.pages import Page, Renderer, coloured, direction, in_site, scrolling, words
from tools.readme import table
from tools.settings import ROOT, chapters

EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\n).+)*", re.M)
Described = griffe.Function | griffe.Class


def lesson_modules() -> dict[str, str]:
    """The module that each chapter exports, by its name.

    >>> lesson_modules()["ftcourse.trainer"]
    '05_trainer'
    """
    found = {}
    for path in (ROOT / "ftcourse").glob("*.py"):
        if match := re.search(r"^# .*nbs/en/(\w+)\.ipynb", path.read_text(encoding="utf-8"), re.M):
            found[f"ftcourse.{path.stem}"] = match[1]
    return dict(sorted(found.items(), key=lambda entry: chapters().index(entry[1])))


def package() -> griffe.Module:
    """The package's code, as it stands in the files."""
    return griffe.load("ftcourse", search_paths=[ROOT], allow_inspection=False)


def public(module: griffe.Module) -> list[Described]:
    """The functions and classes that a module defines for others, in their order."""
    kinds = (griffe.Kind.FUNCTION, griffe.Kind.CLASS)
    own = [one for one in module.members.values() if not one.is_alias and one.kind in kinds]
    return sorted((one for one in own if not one.name.startswith("_")), key=lambda one: one.lineno)


def signature(one: Described) -> str:
    """How something is called, as code.

    >>> signature(package()["kit"]["Kit"])
    'class Kit(lang: str = "en", source: str | None = None)'
    """
    source = "\n".join(one.source.splitlines()) if one.source else ""
    node = next(n for n in ast.parse(re.sub(r"^", "", source)).body if isinstance(n, (ast.FunctionDef, ast.ClassDef)))
    if isinstance(node, ast.FunctionDef):
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        return double_quoted(f"{node.name}({ast.unparse(node.args)}){returns}")
    fields = [ast.unparse(n) for n in node.body if isinstance(n, ast.AnnAssign)]
    maker = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    if maker:
        arguments = re.sub(r"^self(, )?", "", ast.unparse(maker[0].args))
        return double_quoted(f"class {node.name}({arguments})")
    return double_quoted(f"class {node.name}({', '.join(fields)})")


def double_quoted(code: str) -> str:
    """Code as the project writes it: `ast` prefers single quotation marks."""
    return re.sub(r"'([^'\"]*)'", r'"\1"', code)


def in_markdown(docstring: str) -> str:
    """A docstring with its examples as blocks of code.

    >>> in_markdown("One line.\\n\\n>>> 1 + 1\\n2").splitlines()
    ['One line.', '', '```pycon', '>>> 1 + 1', '2', '```']
    """
    return EXAMPLE.sub(lambda match: f"\n```pycon\n{match[0]}\n```", docstring.strip()).replace("\n\n\n", "\n\n")


def members(one: Described) -> list[griffe.Function]:
    """The public methods of a class that say what they do."""
    if one.kind is not griffe.Kind.CLASS:
        return []
    return [m for m in public(one) if m.kind is griffe.Kind.FUNCTION and m.docstring]


def wrapped(code: str) -> str:
    """A long signature with a line for each argument.

    >>> print(wrapped("f(" + ", ".join(["argument_name: int"] * 5) + ") -> None").splitlines()[1])
        argument_name: int,
    """
    if len(code) <= 76:
        return code
    head, _, rest = code.partition("(")
    depth, parts, start = 0, [], 0
    for place, letter in enumerate(rest):
        depth += (letter in "([{") - (letter in ")]}")
        if (letter == "," and depth == 0) or depth < 0:
            parts.append(rest[start:place].strip())
            start = place + 1
        if depth < 0:
            break
    return f"{head}(\n" + "".join(f"    {part},\n" for part in parts if part) + f"){rest[start:]}"


def module_page(lang: str, module: griffe.Module, chapter: str) -> Page:
    """What one module offers."""
    name = module.name
    page = Page(f"reference-{name}", f"ftcourse.{name}", meta={"kind": "reference"})
    renderer = Renderer(lang, page, in_site)
    built = words(lang, "reference_built", chapter=f"[{chapter[:2]}]({chapter}.ipynb)") if chapter else ""
    parts = [renderer.prose(f"# ftcourse.{name}\n\n{built}", f"ftcourse.{name}")]
    for one in public(module):
        if not one.docstring:
            continue
        parts.append('<div class="described" lang="en" dir="ltr">')
        parts.append(described(renderer, one, one.name, 2))
        parts += [described(renderer, m, f"{one.name}.{m.name}", 3) for m in members(one)]
        parts.append("</div>")
    page.html = "\n".join(parts)
    return page


def described(renderer: Renderer, one: Described, name: str, level: int) -> str:
    """One function or class: its name, how it is called, what it does."""
    head = renderer.prose(f"{'#' * level} `{name}`", name)
    text = renderer.prose(in_markdown(one.docstring.value), f"{name}-text")
    return f"{head}{coloured(wrapped(signature(one)))}{text}"


class Text(NamedTuple):
    """A piece of markdown, and its language."""

    markdown: str
    lang: str


def english(module: griffe.Module) -> Text:
    """What a module says of itself, to the first full stop."""
    text = " ".join(module.docstring.value.split()) if module.docstring else ""
    return Text(re.split(r"(?<=[.:;]) ", text)[0].rstrip(";:"), "en")


def index_page(lang: str, root: griffe.Module, lessons: dict[str, str]) -> Page:
    """The list of modules, those of the lessons and of the engine."""
    page = Page("reference", words(lang, "reference_title"), meta={"kind": "reference"})
    renderer = Renderer(lang, page, in_site)
    parts = [renderer.prose(f"# {page.title}\n\n{words(lang, 'reference_intro')}", "reference")]
    rows = [
        (f'<a href="reference-{n.split(".")[1]}.html"><code>{n}</code></a>', n) for n in [*lessons, "ftcourse.room"]
    ]
    taught = {name: Text(table(lang)[chapter].about, lang) for name, chapter in lessons.items()}
    parts.append(module_table(lang, [(link, taught.get(name) or english(root["room"])) for link, name in rows]))
    parts.append(renderer.prose(f"## `ftcourse.engine`\n\n{words(lang, 'reference_engine')}", "engine"))
    engine = [(f"<code>{one.path}</code>", english(one)) for one in root["engine"].modules.values()]
    parts.append(module_table(lang, sorted(engine)))
    page.html = "\n".join(parts)
    return page


def module_table(lang: str, rows: list[tuple[str, Text]]) -> str:
    """A table of modules and what they say of themselves."""
    cells = '<tr><td dir="ltr">{}</td><td lang="{}" dir="{}">{}</td></tr>'
    show = MarkdownIt("commonmark").renderInline
    body = "".join(cells.format(link, text.lang, direction(text.lang), show(text.markdown)) for link, text in rows)
    head = f"<tr><th>{escape(words(lang, 'module'))}</th><th>{escape(words(lang, 'about'))}</th></tr>"
    table = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
    return f'<div class="modules">{scrolling(table, words(lang, "module"))}</div>'


def room_page(lang: str, root: griffe.Module) -> Page:
    """What `ftcourse.room` offers to a notebook."""
    module = root["room.background"]
    page = Page("reference-room", "ftcourse.room", meta={"kind": "reference"})
    renderer = Renderer(lang, page, in_site)
    parts = [renderer.prose("# ftcourse.room", "room")]
    for name in ("start_hub", "RoomHub"):
        one = module[name]
        parts.append('<div class="described" lang="en" dir="ltr">')
        parts.append(described(renderer, one, name, 2))
        parts += [described(renderer, m, f"{name}.{m.name}", 3) for m in members(one)]
        parts.append("</div>")
    page.html = "\n".join(parts)
    return page


def reference_pages(lang: str) -> list[Page]:
    """The reference: its contents first, then a page a module."""
    root, lessons = package(), lesson_modules()
    pages = [index_page(lang, root, lessons)]
    pages += [module_page(lang, root[name.split(".")[1]], chapter) for name, chapter in lessons.items()]
    return [*pages, room_page(lang, root)]

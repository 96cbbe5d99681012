"""Slides from a chapter: `python -m tools.slides --lang ar --chapter 05_trainer` → `build/slides/ar/05_trainer.html`.

What becomes a slide is decided by rule, from kinds of cells; no notebook says so itself. Headings open slides; short
prose that leads to a result, questions, quizzes, pictures and results are on them. The rest is in the notes (key S).
"""

import argparse
import re
import shutil
import sys
from collections.abc import Iterator
from itertools import product, zip_longest
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from traitlets.config import Config

from tools.npm import packages
from tools.pages import SETUP, direction, formula
from tools.settings import BUILD, ROOT, chapters, languages, notebook
from tools.translate import prose, read

SOURCE, OUT = ROOT / "site" / "slides", BUILD / "slides"
FILES = {
    "reveal.js/dist/reveal.js": "reveal.js",
    "reveal.js/dist/reveal.css": "reveal.css",
    "reveal.js/plugin/notes/notes.js": "notes.js",
    "reveal.js/LICENSE": "LICENSE.txt",
}
LAST = "summary"  # exercises and further reading are for the desk
SHORT, HAN_SHORT = 300, 130  # letters of prose that a slide takes
CODE_LINES, OUTPUT_LINES = 8, 14
NOT_SHOWN = re.compile(r"(?:answer|check|solution|exercise|open)-\d|further|exercises")
BOLD, QUESTION = re.compile(r"\*\*.+?\*\*", re.S), re.compile("[?؟？]")
ITEM = re.compile(r"^(?:[-*]|\d+\.) ", re.M)
SENTENCE = re.compile(r".*?(?:[.!?؟](?=\s|$)|[。！？])", re.S)
LOCAL_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)[^)]*\)")
EXPORTED = "#| export"


def short(text: str) -> bool:
    """Whether prose is read at a glance.

    >>> short("One sentence."), short("字" * 140)
    (True, False)
    """
    han = len(re.findall("[\u3400-\u9fff]", text))
    return han <= HAN_SHORT and len(text) <= SHORT


def shown(body: str) -> str:
    """What of prose a slide shows: all of a short piece; of a long one the questions to guess, or how it begins.

    >>> shown("Nothing else. **What will it say?** " + "Much more. " * 40)
    '**What will it say?**'
    """
    if short(body) or body.startswith("|"):
        return body
    if questions := asked(body):
        return questions
    if ITEM.match(body):
        return "\n".join(beginning(item) for item in re.split(r"\n(?=[-*] |\d+\. )", body))
    return beginning(body)


def asked(body: str) -> str:
    """The questions in bold.

    >>> asked("**One** and **two?**")
    '**two?**'
    """
    return "\n\n".join(bold for bold in BOLD.findall(body) if QUESTION.search(bold))


def beginning(body: str) -> str:
    """The first sentence, if a slide takes it."""
    mark = ITEM.match(body)
    first = SENTENCE.match(body, mark.end() if mark else 0)
    text = (mark[0] if mark else "") + (first[0] if first else "")
    return text if short(text) else ""


def pieces(text: str) -> list[tuple[int, str, str]]:
    """The parts of a cell of prose: level of the heading (0 where there is none), heading, body.

    >>> pieces("Before.\\n\\n## Then\\nAfter.")
    [(0, '', 'Before.'), (2, '## Then', 'After.')]
    """
    parts = []
    for part in re.split(r"^(?=#{1,3} )", text, flags=re.M):
        heading = re.match(r"(#{1,3}) .+", part)
        body = part[heading.end() :] if heading else part
        if part.strip():
            parts.append((len(heading[1]) if heading else 0, heading[0] if heading else "", body.strip()))
    return parts


def cell_of(kind: str, source: str, slide: str, tags: tuple[str, ...] = ()) -> nbformat.NotebookNode:
    """A cell that is this kind of slide for nbconvert."""
    new = nbformat.v4.new_markdown_cell if kind == "markdown" else nbformat.v4.new_code_cell
    return new(source, metadata={"slideshow": {"slide_type": slide}, "tags": list(tags)})


class Deck:
    """The cells of a deck, as they come: what still fits on the slide goes on it, the rest opens another."""

    def __init__(self):
        self.cells: list[nbformat.NotebookNode] = []
        self.full = True  # whether the next result needs a slide of its own

    def add(self, cell: nbformat.NotebookNode, full: bool) -> None:
        self.cells.append(cell)
        self.full = full

    def place(self) -> str:
        """The kind of slide for what may go beside what is there."""
        return "subslide" if self.full else "-"

    def prose(self, text: str, leads: bool, whole: bool) -> None:
        """A cell of prose: headings open slides, what `leads` to a result is on it, a `whole` one is not cut."""
        parts = pieces(text)
        for level, heading, body in parts:
            last = leads and body is parts[-1][2]
            visible = body if whole else shown(body) if heading or last else asked(body)
            if heading or visible:
                slide = {0: "subslide", 3: "subslide"}.get(level, "slide")
                self.add(cell_of("markdown", f"{heading}\n\n{visible}".strip(), slide), not short(visible))
            if visible != body and self.cells:
                self.cells.append(cell_of("markdown", body, "notes"))

    def code(self, cell: nbformat.NotebookNode) -> None:
        """A cell of code with what it showed; long code, and code that draws, stays away."""
        examples = is_example(cell)
        drawn = any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
        lines = [line for line in cell.source.splitlines() if not line.startswith("assert ")]
        hidden = EXPORTED in cell.source or len(lines) > CODE_LINES or (drawn and len(lines) > 2)
        made = cell_of("code", "\n".join(lines), self.place(), ("hide",) if hidden else ())
        made.outputs = [cut(output) for output in cell.get("outputs", [])]
        self.add(made, not examples)


def is_example(cell: nbformat.NotebookNode) -> bool:
    """Whether a cell has sentences of the language's own."""
    return "examples" in cell.metadata.get("tags", [])


def cut(output: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An output of a few lines."""
    kept = nbformat.from_dict({**output, "execution_count": None} if "execution_count" in output else {**output})
    for holder, key in ((kept, "text"), (kept.get("data", {}), "text/plain")):
        lines = holder.get(key, "").splitlines()
        if len(lines) > OUTPUT_LINES:
            holder[key] = "\n".join([*lines[:OUTPUT_LINES], "…"])
    return kept


def lesson(nb: nbformat.NotebookNode) -> Iterator[tuple[nbformat.NotebookNode, str]]:
    """The cells that a class looks at together, each with its prose, from the title to the summary."""
    for cell in nb.cells:
        silent = cell.cell_type == "code" and not cell.get("outputs") and not is_example(cell)
        if cell.id in SETUP or NOT_SHOWN.match(cell.id) or silent:
            continue
        text = prose(cell) if cell.cell_type == "markdown" else ""
        if cell.id == LAST:
            text = "".join(re.split(r"^(?=## )", text, flags=re.M)[:2])
        yield cell, LOCAL_LINK.sub(r"\1", re.sub(r"(?<![\\$`])\$([^$\n`]+)\$(?!\w)", formula, text))
        if cell.id == LAST:
            return


def deck_of(lang: str, chapter: str) -> nbformat.NotebookNode:
    """A chapter as a notebook of slides."""
    nb, deck = read(notebook(lang, chapter)), Deck()
    cells = [*lesson(nb)]
    for (cell, text), after in zip_longest(cells, cells[1:]):
        if cell.cell_type == "code":
            deck.code(cell)
        else:
            leads = after is not None and after[0].cell_type == "code"
            deck.prose(text, leads, whole=cell.id.startswith(("quiz", LAST)))
    return nbformat.v4.new_notebook(cells=deck.cells, metadata=nb.metadata)


def html_of(lang: str, chapter: str) -> str:
    """A chapter's slides as a page."""
    deck = deck_of(lang, chapter)
    title = re.search(r"^# (.+)$", deck.cells[0].source, re.M)[1].replace("`", "")
    config = Config(
        TagRemovePreprocessor=Config(enabled=True, remove_input_tags={"hide"}),
        CSSHTMLHeaderPreprocessor=Config(enabled=True, style="default"),
    )
    exporter = SlidesExporter(config=config, template_name="slides", extra_template_basedirs=[str(SOURCE.parent)])
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = exporter.exclude_anchor_links = True
    about = {"lang": lang, "direction": direction(lang), "title": title}
    return exporter.from_notebook_node(deck, resources={"deck": about})[0]


def write_reveal(out: Path) -> None:
    """What the slides of all languages share."""
    folder = out / "reveal"
    folder.mkdir(parents=True, exist_ok=True)
    modules = packages(SOURCE, "show the chapter itself")
    for source, name in FILES.items():
        text = (modules / source).read_text(encoding="utf-8")
        (folder / name).write_text(re.sub(r"//# sourceMappingURL=\S+", "", text), encoding="utf-8")
    shutil.copy(SOURCE / "deck.css", folder)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make slides from chapters.")
    parser.add_argument("--lang", action="append", choices=languages(), help="only this language")
    parser.add_argument("--chapter", action="append", choices=chapters(), help="only this chapter")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    write_reveal(options.out)
    for lang, chapter in product(options.lang or languages(), options.chapter or chapters()):
        path = options.out / lang / f"{chapter}.html"
        if not notebook(lang, chapter).is_file():
            print(f"{lang}/{chapter}: not translated, left out", file=sys.stderr)
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(html_of(lang, chapter), encoding="utf-8")
        print(path, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

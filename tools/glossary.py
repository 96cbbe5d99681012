"""The glossary: `python -m tools.glossary` writes nbs/<lang>/glossary.md from GLOSSARY.csv.

`python -m tools.glossary links` lists the terms whose first use in the English prose is no link to the glossary, and
the links to terms that it does not have. Terms without a definition are for translators only: they are on no page.
"""

import argparse
import re
from pathlib import Path

import nbformat

from tools.markdown import CODE, FENCE, MATH, TAG
from tools.settings import ROOT, chapters, languages, notebook
from tools.translate import SOURCE, Note, glossary, prose, read, stored

PAGE = "glossary.md"
TITLE = "glossary"  # the term whose definition stands at the head of the page
HEADING = re.compile(r"^#+ .*$", re.M)
LINK = re.compile(rf"!?\[(?P<text>[^\]]*)\]\((?:{re.escape(PAGE)}#(?P<anchor>[^)\s]*)|[^)]*)\)")


def anchor(term: str) -> str:
    """The name of a term's place in the page, the same in every language.

    >>> anchor("F1 score"), anchor("pipeline")
    ('f1-score', 'pipeline')
    """
    return re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-")


def defined() -> list[dict[str, str]]:
    """The terms that learners find in the page, in the order of the English alphabet."""
    terms = [term for term in glossary() if term[f"{SOURCE}_definition"] and term[SOURCE] != TITLE]
    return sorted(terms, key=lambda term: term[SOURCE].lower())


def heading(term: dict[str, str], lang: str) -> str:
    """A term as its language has it, with the English beside it where that is another.

    >>> heading({"en": "loss", "zh": "损失"}, "zh"), heading({"en": "ONNX", "zh": "ONNX"}, "zh")
    ('损失（loss）', 'ONNX')
    """
    name, english = term.get(lang) or term[SOURCE], term[SOURCE]
    if english.lower() in name.lower():
        return name
    return f"{name}（{english}）" if lang.startswith("zh") else f"{name} ({english})"


def page(lang: str) -> str:
    """The page of a language; what it lacks is in English."""

    def definition(term: dict[str, str]) -> str:
        return term.get(f"{lang}_definition") or term[f"{SOURCE}_definition"]

    [title] = [term for term in glossary() if term[SOURCE] == TITLE]
    name = title.get(lang) or title[SOURCE]
    entries = [f"# {name[0].upper()}{name[1:]}", definition(title)]
    for term in defined():
        entries += [f'### <a id="{anchor(term[SOURCE])}"></a>{heading(term, lang)}', definition(term)]
    return stored("\n\n".join(entries), lang).rstrip("\n") + "\n"


def pages() -> dict[Path, str]:
    """The page of each language that has notebooks: where it is, and what it should say."""
    return {ROOT / "nbs" / lang / PAGE: page(lang) for lang in languages()}


def term_pattern(terms: list[str]) -> re.Pattern:
    """Finds terms in prose, the longest first; names such as Hub are found only as they are written.

    >>> term_pattern(["mask", "attention mask", "Hub"]).findall("Attention masks, a mask, a hub, the Hub")
    ['Attention masks', 'mask', 'Hub']
    """
    names = sorted(terms, key=len, reverse=True)
    parts = [re.escape(name) if name != name.lower() else f"(?i:{re.escape(name)})" for name in names]
    return re.compile(rf"\b(?:{'|'.join(parts)})(?:s|es)?\b")


def uses(text: str, terms: dict[str, str]) -> list[tuple[str, bool]]:
    """The terms in prose, by anchor and in order, each with whether it is a link to the glossary there.

    `terms` has the anchor of each. Code, formulas, headings and the texts of other links do not count.

    >>> uses("A [loss](glossary.md#loss) and a batch, see [batch](https://a.org).", {"loss": "loss", "batch": "batch"})
    [('loss', True), ('batch', False)]
    """
    for pattern in (FENCE, CODE, MATH, TAG, HEADING):
        text = pattern.sub(" ", text)
    pattern, lower = term_pattern(list(terms)), {name.lower(): place for name, place in terms.items()}
    found, position = [], 0
    for link in [*LINK.finditer(text), None]:
        plain = text[position : link.start() if link else len(text)]
        for match in pattern.findall(plain):
            name = next(one for one in (match, match[:-1], match[:-2]) if one.lower() in lower)
            found.append((lower[name.lower()], False))
        if link:
            position = link.end()
            if link["anchor"]:
                found.append((link["anchor"], True))
    return found


def unlinked(books: dict[str, nbformat.NotebookNode], terms: list[str]) -> list[Note]:
    """First uses of terms that are no links, and links to no term, in English notebooks given in reading order.

    Title cells, quizzes and headings do not count.
    """
    places, met, notes = {name: anchor(name) for name in terms}, set(), []
    for chapter, nb in books.items():
        for cell in nb.cells[1:]:
            if cell.cell_type != "markdown" or re.fullmatch(r"quiz(-\d+)?", cell.id):
                continue
            for place, linked in uses(prose(cell), places):
                if place not in places.values():
                    notes.append(Note(SOURCE, chapter, cell.id, f"{PAGE}#{place} is in no glossary"))
                elif place not in met and not linked:
                    notes.append(
                        Note(SOURCE, chapter, cell.id, f"the first use of {place} is no link to {PAGE}#{place}")
                    )
                met.add(place)
    return notes


def unlinked_terms() -> list[Note]:
    """`unlinked`, for the course as it is."""
    books = {chapter: read(notebook(SOURCE, chapter)) for chapter in chapters()}
    return unlinked(books, [term[SOURCE] for term in defined()])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the glossary's pages, or look at the links to them.")
    parser.add_argument("command", nargs="?", choices=("write", "links"), default="write")
    if parser.parse_args(arguments).command == "links":
        notes = unlinked_terms()
        print("\n".join(map(str, notes)) or "every term's first use is a link")
        return int(bool(notes))
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    print(f"{len(pages())} pages, {len(defined())} terms")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
